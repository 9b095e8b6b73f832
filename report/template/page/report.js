"use strict";
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
const wide = matchMedia("(width >= 75rem)");
const menu = document.querySelector("nav.contents details");
const themeButton = document.getElementById("theme");
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

// A reference or a citation shows its target while it is pointed at or has the focus.
{
  const preview = document.createElement("div");
  preview.className = "preview";
  preview.setAttribute("role", "tooltip");
  preview.hidden = true;
  document.body.append(preview);
  const content = target => {
    const copy = target.cloneNode(true);
    copy.querySelectorAll("script, .back, .anchor").forEach(each => each.remove());
    const ids = new Map([...copy.querySelectorAll("[id]")].map(each => [each.id, `preview-${each.id}`]));
    copy.removeAttribute("id");
    let html = copy.outerHTML;
    for (const [id, own] of ids) html = html.replaceAll(`id="${id}"`, `id="${own}"`).replaceAll(`#${id}"`, `#${own}"`).replaceAll(`url(#${id})`, `url(#${own})`);
    return html;
  };
  const show = link => {
    const target = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (!target || target.matches("section, .interactive") || target.outerHTML.length > 400000) return;
    const block = target.matches("mtd") ? target.closest(".equation") : target;
    preview.innerHTML = content(block);
    preview.hidden = false;
    const box = link.getBoundingClientRect(), size = preview.getBoundingClientRect();
    const above = box.bottom + size.height + 8 > innerHeight && box.top > size.height + 8;
    preview.style.left = `${scrollX + Math.max(8, Math.min(box.left, innerWidth - size.width - 8))}px`;
    preview.style.top = `${scrollY + (above ? box.top - size.height - 6 : box.bottom + 6)}px`;
  };
  const hide = () => { preview.hidden = true };
  for (const link of document.querySelectorAll("main :is(a.ref, a.cite)")) {
    link.addEventListener("pointerenter", event => event.pointerType === "mouse" && show(link));
    link.addEventListener("pointerleave", hide);
    link.addEventListener("focus", () => link.matches(":focus-visible") && show(link));
    link.addEventListener("blur", hide);
  }
  addEventListener("keydown", event => event.key === "Escape" && hide());
}
