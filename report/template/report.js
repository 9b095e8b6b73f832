"use strict";
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
const wide = matchMedia("(width >= 75rem)");
const menu = document.querySelector("nav.contents details");
const themeButton = document.getElementById("theme"), codeButton = document.getElementById("code");
document.querySelector(".tools").hidden = false;

const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
const tellTheme = () => themeButton.setAttribute("aria-pressed", isDark());
themeButton.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme) } catch {}  // a page from disk may have no storage
  tellTheme();
});
dark.addEventListener("change", tellTheme);
tellTheme();

const blocks = [...document.querySelectorAll("details.code")];
codeButton.hidden = !blocks.length;
codeButton.addEventListener("click", () => {
  const open = codeButton.getAttribute("aria-pressed") !== "true";
  for (const block of blocks) block.open = open;
  codeButton.setAttribute("aria-pressed", open);
  codeButton.textContent = open ? "Hide code" : "Show code";
});

const closeMenu = () => { if (!wide.matches) menu.open = false };
wide.addEventListener("change", () => { menu.open = wide.matches });
menu.addEventListener("click", event => { if (event.target.closest("a")) closeMenu() });
document.addEventListener("keydown", event => {
  if (event.key === "Escape" && menu.open && !wide.matches) { closeMenu(); menu.querySelector("summary").focus() }
});
document.addEventListener("click", event => { if (!event.target.closest("nav.contents")) closeMenu() });

const links = new Map([...menu.querySelectorAll("a")].map(link => [link.hash.slice(1), link]));
const headings = [...links.keys()].map(id => document.getElementById(id)).filter(Boolean);
let current;
const follow = () => {
  const passed = headings.filter(heading => heading.getBoundingClientRect().top < innerHeight / 4).at(-1);
  const link = links.get(passed?.id);
  if (link === current) return;
  current?.removeAttribute("aria-current");
  for (const item of menu.querySelectorAll(".open")) item.classList.remove("open");
  (current = link)?.setAttribute("aria-current", "true");
  link?.closest("nav.contents ol > li:has(> ol)")?.classList.add("open");
  if (wide.matches) link?.scrollIntoView({block: "nearest"});
};
let waiting = false;
addEventListener("scroll", () => {
  if (!waiting) requestAnimationFrame(() => { waiting = false; follow() });
  waiting = true;
}, {passive: true});
follow();

const scrollers = document.querySelectorAll("main :is(.scroll, .visual, .equation, pre)");
const reach = () => scrollers.forEach(box => {  // with the keyboard, but only where there is something to scroll to
  if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight + 1) box.tabIndex = 0;
  else box.removeAttribute("tabindex");
});
addEventListener("resize", reach);
addEventListener("toggle", reach, true);
document.fonts.ready.then(reach);
