// What the pages do beyond links and forms. Every page works without it. It makes no markup from text: elements come
// from the hub as a parsed document, in which nothing runs.

const TYPING = "input:not([type=checkbox]):not([type=radio]), textarea, select";

function setUpTheme() {
  const button = document.getElementById("theme");
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    const root = document.documentElement;
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = root.dataset.theme || (dark ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    root.dataset.theme = next;
    // A cookie, so that the hub writes it into the next page and nothing flickers.
    document.cookie = `lintas-theme=${next}; Path=/console; Max-Age=31536000; SameSite=Strict`;
  });
}

// On a phone the bar is wider than the window: the page that one is on is in sight.
function showPlace() {
  const here = document.querySelector(".bar nav [aria-current]");
  if (here) here.parentElement.scrollLeft = here.offsetLeft + here.offsetWidth / 2 - here.parentElement.clientWidth / 2;
}

// A page of the console as a document, or null when this page must be loaded instead (signed out, gone, away).
function fetchPage(address) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("GET", address);
    request.responseType = "document";
    request.onload = () => resolve(request.status === 200 ? request.response : null);
    request.onerror = () => resolve(null);
    request.send();
  });
}

// --- lists: j k Enter Esc / ---

function rowLinks() {
  return [...document.querySelectorAll("[data-rows] a[data-row]")];
}

function step(by) {
  const links = rowLinks();
  if (!links.length) return;
  const focused = links.indexOf(document.activeElement);
  const chosen = links.findIndex((link) => link.closest("tr").getAttribute("aria-selected") === "true");
  const from = focused >= 0 ? focused : chosen;
  const next = links[from < 0 ? 0 : Math.min(Math.max(from + by, 0), links.length - 1)];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = document.activeElement && document.activeElement.matches(TYPING);
  if (event.key === "Escape") {
    if (typing) document.activeElement.blur();
    else document.querySelector("[data-drawer] a.shut")?.click();
    return;
  }
  if (typing) return;
  if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "/") {
    const search = document.querySelector("[data-search]");
    if (!search) return;
    search.focus();
    search.select();
  } else return;
  event.preventDefault();
}

// --- the drawer beside a list: what the hub would render, without loading the list again ---

let asked = 0;

async function openDrawer(link) {
  const drawer = document.querySelector("[data-drawer]");
  const mine = ++asked;
  const page = await fetchPage(link.dataset.row);
  if (mine !== asked) return;
  const found = page?.querySelector("[data-entry]");
  if (!found) {
    location.assign(link.href);
    return;
  }
  drawer.replaceChildren(document.importNode(found, true));
  drawer.hidden = false;
  drawer.closest(".split").classList.add("open");
  drawer.scrollTop = 0;
  const shut = drawer.querySelector("a.shut");
  if (shut) shut.href = document.querySelector("[data-rows]").dataset.rows;
  select(link);
  history.pushState({ drawer: true }, "", link.href);
  document.dispatchEvent(new CustomEvent("lintas:shown", { detail: drawer }));
}

function shutDrawer(address) {
  const drawer = document.querySelector("[data-drawer]");
  asked += 1;
  const chosen = document.querySelector("tr[aria-selected=true] a[data-row]");
  drawer.hidden = true;
  drawer.replaceChildren();
  drawer.closest(".split").classList.remove("open");
  select(null);
  history.pushState({ drawer: false }, "", address);
  chosen?.focus();
}

function select(link) {
  for (const row of document.querySelectorAll("tr[aria-selected=true]")) row.removeAttribute("aria-selected");
  link?.closest("tr").setAttribute("aria-selected", "true");
}

function setUpList() {
  const rows = document.querySelector("[data-rows]");
  const drawer = document.querySelector("[data-drawer]");
  if (!rows || !drawer) return;
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const link = event.target.closest("a");
    const row = event.target.closest("[data-rows] tr")?.querySelector("a[data-row]");
    if (link?.matches("[data-drawer] a.shut")) {
      event.preventDefault();
      shutDrawer(link.href);
    } else if (row && (!link || link === row) && !getSelection().toString()) {
      event.preventDefault();
      openDrawer(row);
    }
  });
  // Another state of the list is another page of the hub.
  addEventListener("popstate", () => location.reload());
}

// --- filters: a choice is applied at once; without script there is a button ---

function setUpFilters() {
  const form = document.querySelector("form[data-filters]");
  if (!form) return;
  form.addEventListener("change", (event) => {
    if (event.target.matches("input[type=checkbox]")) form.requestSubmit();
  });
  // Empty fields stay out of the address.
  form.addEventListener("submit", () => {
    for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
  });
  addEventListener("pageshow", () => {
    for (const field of form.elements) field.disabled = false;
  });
}

// --- bulletins as they come in ---

function part(name, text, kind) {
  const element = document.createElement(name);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function liveRow(told) {
  const row = part("li", "", "fresh");
  const badge = part("span", told.country, "badge");
  badge.setAttribute("aria-hidden", "true");
  const link = part("a", told.topic);
  link.href = `/console/bulletins/${encodeURIComponent(told.id)}`;
  const tlp = part("span", `TLP:${told.tlp}`, `tlp ${told.tlp.toLowerCase().replace("+", "-")}`);
  const by = part("span", `${told.issuer} · ${told.kind}`, "by");
  if (told.urgency === "flash") by.append(" · ", part("b", "flash", "refused"));
  const at = part("span", "", "at");
  const time = part("time", told.clock);
  time.dateTime = time.title = told.time;
  at.append(time);
  row.append(badge, link, tlp, by, at);
  return row;
}

function setUpLive() {
  const list = document.querySelector("[data-live]");
  if (!list) return;
  const state = document.querySelector("[data-live-state]");
  const button = document.querySelector("[data-live-pause]");
  const held = [];
  let paused = false;

  function say(words, kind) {
    state.textContent = words;
    state.className = `live-state ${kind}`;
  }
  function show(told) {
    list.querySelector(".none")?.remove();
    list.prepend(liveRow(told));
    while (list.children.length > Number(list.dataset.liveRows)) list.lastElementChild.remove();
  }
  function told() {
    say(paused ? `${held.length} waiting` : "live", paused ? "off" : "on");
  }

  const source = new EventSource(list.dataset.live);
  source.addEventListener("open", told);
  source.addEventListener("error", () => say(source.readyState === EventSource.CLOSED ? "ended: load the page again" : "away", "off"));
  source.addEventListener("message", (event) => {
    const found = JSON.parse(event.data);
    if (paused) {
      held.push(found);
      // What no longer fits the list is not kept either.
      if (held.length > 500) held.shift();
    } else show(found);
    told();
  });
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Resume" : "Pause";
    if (!paused) for (const found of held.splice(0)) show(found);
    told();
  });
  addEventListener("pagehide", () => source.close());
}

setUpTheme();
showPlace();
setUpLive();
setUpList();
setUpFilters();
addEventListener("keydown", onKey);
document.documentElement.dataset.ready = "";
