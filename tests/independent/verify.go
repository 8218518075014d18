// Verify reads notes, proofs and tiles as JSON from standard input and judges each with golang.org/x/mod/sumdb,
// an implementation of transparency logs that shares no code with Lintas. Its verdicts go to standard output.
//
// Run it in GOPATH mode, so that nothing is fetched: GO111MODULE=off GOPATH=/usr/share/gocode go run verify.go
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tileHeight is that of C2SP tlog-tiles; addresses there leave it out.
const tileHeight = 8

type signedNote struct {
	Note string
	Vkey string
}

type toSign struct {
	Text string
	Skey string
}

type inclusion struct {
	Leaf  tlog.Hash
	Index int64
	Size  int64
	Root  tlog.Hash
	Proof tlog.RecordProof
}

type consistency struct {
	OldSize int64
	OldRoot tlog.Hash
	Size    int64
	Root    tlog.Hash
	Proof   tlog.TreeProof
}

type tiledTree struct {
	Size    int64
	Root    tlog.Hash
	Tiles   map[string][]byte
	Indexes []int64
	Olds    []int64
}

type questions struct {
	Notes         []signedNote
	ToSign        []toSign
	Inclusions    []inclusion
	Consistencies []consistency
	Tiled         []tiledTree
}

type openedNote struct {
	Text string
	Tree *tlog.Tree
}

type proofs struct {
	Leaves        []tlog.Hash
	Inclusions    []tlog.RecordProof
	Consistencies []tlog.TreeProof
	Fault         string
}

type verdicts struct {
	Notes         []*openedNote
	Signed        []string
	Inclusions    []bool
	Consistencies []bool
	Tiled         []proofs
}

func main() {
	var asked questions
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatal(err)
	}
	var found verdicts
	for _, each := range asked.Notes {
		found.Notes = append(found.Notes, open(each))
	}
	for _, each := range asked.ToSign {
		found.Signed = append(found.Signed, sign(each))
	}
	for _, p := range asked.Inclusions {
		err := tlog.CheckRecord(p.Proof, p.Size, p.Root, p.Index, p.Leaf)
		found.Inclusions = append(found.Inclusions, err == nil)
	}
	for _, p := range asked.Consistencies {
		err := tlog.CheckTree(p.Proof, p.Size, p.Root, p.OldSize, p.OldRoot)
		found.Consistencies = append(found.Consistencies, err == nil)
	}
	for _, each := range asked.Tiled {
		found.Tiled = append(found.Tiled, prove(each))
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		log.Fatal(err)
	}
}

// open returns nil for a note that the key did not sign. A text that is no checkpoint has no tree.
func open(signed signedNote) *openedNote {
	verifier, err := note.NewVerifier(signed.Vkey)
	if err != nil {
		return nil
	}
	opened, err := note.Open([]byte(signed.Note), note.VerifierList(verifier))
	if err != nil {
		return nil
	}
	return &openedNote{Text: opened.Text, Tree: parseTree(opened.Text)}
}

func parseTree(text string) *tlog.Tree {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 {
		return nil
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return nil
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return nil
	}
	return &tlog.Tree{N: size, Hash: root}
}

func sign(asked toSign) string {
	signer, err := note.NewSigner(asked.Skey)
	if err != nil {
		return err.Error()
	}
	signed, err := note.Sign(&note.Note{Text: asked.Text}, signer)
	if err != nil {
		return err.Error()
	}
	return string(signed)
}

// prove makes proofs from tiles alone; the reader checks every tile it uses against the root.
func prove(tree tiledTree) (found proofs) {
	reader := tlog.TileHashReader(tlog.Tree{N: tree.Size, Hash: tree.Root}, served(tree.Tiles))
	fail := func(err error) proofs { return proofs{Fault: err.Error()} }
	for _, index := range tree.Indexes {
		leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		if err != nil {
			return fail(err)
		}
		proof, err := tlog.ProveRecord(tree.Size, index, reader)
		if err != nil {
			return fail(err)
		}
		found.Leaves = append(found.Leaves, leaf[0])
		found.Inclusions = append(found.Inclusions, proof)
	}
	for _, old := range tree.Olds {
		proof, err := tlog.ProveTree(tree.Size, old, reader)
		if err != nil {
			return fail(err)
		}
		found.Consistencies = append(found.Consistencies, proof)
	}
	return found
}

// served are the tiles of a hub by address.
type served map[string][]byte

func (tiles served) Height() int { return tileHeight }

func (tiles served) SaveTiles([]tlog.Tile, [][]byte) {}

func (tiles served) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight), "tile/", 1)
		data, ok := tiles[path]
		if !ok {
			return nil, fmt.Errorf("no tile %s", path)
		}
		found = append(found, data)
	}
	return found, nil
}
