"""Codes of countries as identifiers carry them.

Promises: constants only. A code that is missing here is refused where it decides how a value is read, and is at most
worth a warning elsewhere.
Spec: ISO 3166-1 (alpha-2, alpha-3); ICAO 9303 part 3 section 5 (issuers that are no countries); ITU Maritime
Identification Digits (Radio Regulations appendix 42).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_ISO_3166 = (
    "ADAND AEARE AFAFG AGATG AIAIA ALALB AMARM AOAGO AQATA ARARG ASASM ATAUT AUAUS AWABW AXALA AZAZE BABIH BBBRB "
    "BDBGD BEBEL BFBFA BGBGR BHBHR BIBDI BJBEN BLBLM BMBMU BNBRN BOBOL BQBES BRBRA BSBHS BTBTN BVBVT BWBWA BYBLR "
    "BZBLZ CACAN CCCCK CDCOD CFCAF CGCOG CHCHE CICIV CKCOK CLCHL CMCMR CNCHN COCOL CRCRI CUCUB CVCPV CWCUW CXCXR "
    "CYCYP CZCZE DEDEU DJDJI DKDNK DMDMA DODOM DZDZA ECECU EEEST EGEGY EHESH ERERI ESESP ETETH FIFIN FJFJI FKFLK "
    "FMFSM FOFRO FRFRA GAGAB GBGBR GDGRD GEGEO GFGUF GGGGY GHGHA GIGIB GLGRL GMGMB GNGIN GPGLP GQGNQ GRGRC GSSGS "
    "GTGTM GUGUM GWGNB GYGUY HKHKG HMHMD HNHND HRHRV HTHTI HUHUN IDIDN IEIRL ILISR IMIMN ININD IOIOT IQIRQ IRIRN "
    "ISISL ITITA JEJEY JMJAM JOJOR JPJPN KEKEN KGKGZ KHKHM KIKIR KMCOM KNKNA KPPRK KRKOR KWKWT KYCYM KZKAZ LALAO "
    "LBLBN LCLCA LILIE LKLKA LRLBR LSLSO LTLTU LULUX LVLVA LYLBY MAMAR MCMCO MDMDA MEMNE MFMAF MGMDG MHMHL MKMKD "
    "MLMLI MMMMR MNMNG MOMAC MPMNP MQMTQ MRMRT MSMSR MTMLT MUMUS MVMDV MWMWI MXMEX MYMYS MZMOZ NANAM NCNCL NENER "
    "NFNFK NGNGA NINIC NLNLD NONOR NPNPL NRNRU NUNIU NZNZL OMOMN PAPAN PEPER PFPYF PGPNG PHPHL PKPAK PLPOL PMSPM "
    "PNPCN PRPRI PSPSE PTPRT PWPLW PYPRY QAQAT REREU ROROU RSSRB RURUS RWRWA SASAU SBSLB SCSYC SDSDN SESWE SGSGP "
    "SHSHN SISVN SJSJM SKSVK SLSLE SMSMR SNSEN SOSOM SRSUR SSSSD STSTP SVSLV SXSXM SYSYR SZSWZ TCTCA TDTCD TFATF "
    "TGTGO THTHA TJTJK TKTKL TLTLS TMTKM TNTUN TOTON TRTUR TTTTO TVTUV TWTWN TZTZA UAUKR UGUGA UMUMI USUSA UYURY "
    "UZUZB VAVAT VCVCT VEVEN VGVGB VIVIR VNVNM VUVUT WFWLF WSWSM YEYEM YTMYT XKXKX ZAZAF ZMZMB ZWZWE"
)
"""Alpha-2 followed by alpha-3, with the user-assigned code of Kosovo that plates and IBANs carry."""

_MIDS = (
    "201-216 218-220 224-251 252-259 261-279 301 303-312 314 316 319 321 323 325 327 329-332 334 336 338-339 341 "
    "343 345 347-348 350-359 361-362 364 366-379 401 403 405 408 410 412-414 416-417 419 422-423 425 428 431-432 "
    "434 436-438 440-441 443 445 447 450-451 453 455 457 459 461 463 466 468 470-473 475 477-478 501 503 506 508 "
    "510-512 514-516 518 520 523 525 529 531 533 536 538 540 542 544 546 548 550 553 555 557 559 561 563-567 570 "
    "572 574 576-578 601 603 605 607-613 615-622 624-627 629-638 642 644-645 647 649-650 654-657 659-672 674-679 "
    "701 710 720 725 730 735 740 745 750 755 760 765 770 775"
)


def _spans(text: str) -> Iterator[str]:
    for span in text.split():
        first, _, last = span.partition("-")
        yield from map(str, range(int(first), int(last or first) + 1))


ALPHA3: Mapping[str, str] = {pair[:2]: pair[2:] for pair in _ISO_3166.split()}
"""The alpha-3 code of every alpha-2 code."""

ICAO_ISSUERS = frozenset(ALPHA3.values()) | frozenset(
    [
        "D",
        "EUE",
        "GBD",
        "GBN",
        "GBO",
        "GBP",
        "GBS",
        "RKS",
        "UNK",
        "UNO",
        "UNA",
        "UTO",
        "XAA",
        "XBA",
        "XCC",
        "XCE",
        "XCO",
        "XDC",
        "XEC",
        "XES",
        "XIM",
        "XMP",
        "XOM",
        "XPO",
        "XXA",
        "XXB",
        "XXC",
        "XXX",
    ]
)
"""Who issues travel documents, ``UTO`` (Utopia) being the state of specimens."""

MIDS = frozenset(_spans(_MIDS))
"""Allocated Maritime Identification Digits."""
