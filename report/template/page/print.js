/* Fills pages before printing: where a figure does not fit on the rest of a page, the text after it goes before it.
   Figures keep their order and their section. Runs in a window as wide as the text, in print media; height in pixels. */
async height => {
  const figure = block => block.matches("figure:not(.long)"), heading = block => block.matches("h1, h2, h3, h4, h5, h6");
  const whole = block => !block.matches("p, ul, ol, blockquote, figure.long, pre");
  const worth = 0.1 * height;  // smaller gaps stay
  const shown = () => [...document.querySelectorAll(".title > *, .front > *, .print-contents, .chapter > *")]
    .map(block => ({block, box: block.getBoundingClientRect()})).filter(({box}) => box.height > 0);

  const least = block => {  // what of a block must stand together at the end of a page, in pixels
    const tall = block.getBoundingClientRect().height, line = parseFloat(getComputedStyle(block).lineHeight);
    return whole(block) ? tall : Math.min(tall, 4 * line);
  };
  const rest = (block, room) => {  // how far down a later page a block ends that does not fit
    if (block.matches("figure.long")) {
      const head = block.querySelector("thead").getBoundingClientRect();
      let left = room - (head.bottom - block.getBoundingClientRect().top);
      for (const row of block.querySelectorAll("tbody tr")) {
        const tall = row.getBoundingClientRect().height;
        left = (tall > left ? height - head.height : left) - tall;
      }
      return height - left;
    }
    const tall = block.getBoundingClientRect().height, line = parseFloat(getComputedStyle(block).lineHeight);
    return whole(block) ? tall : Math.max(tall - line * Math.floor(room / line), 3 * line);
  };

  const firstGap = settled => {  // the first figure that leaves much of a page empty, and how much
    let y = 0, before, page;
    const all = shown();
    for (const [index, {block, box}] of all.entries()) {
      if (block.matches(".chapter:not(.front) > :first-child")) {
        const own = getComputedStyle(block.parentElement).page;
        if (own !== page) y = 0;  // a chapter begins on a page of its own
        page = own;
      }
      const space = y && before ? box.top - before.bottom : 0, next = all[index + 1];
      const need = heading(block) && next ? next.box.top - box.top + least(next.block) : least(block);
      before = box;
      if (y + space + box.height <= height && y + space + need <= height) { y += space + box.height; continue }
      if (y + space + need <= height) { y = rest(block, height - y - space) % height; continue }
      const late = figure(block) ? all[index] : heading(block) && next && figure(next.block) ? next : undefined;
      if (late && height - y > worth && !settled.has(late.block)) {
        return {block: late.block, room: height - y - space - (late.box.top - box.top), tall: late.box.height};
      }
      y = box.height % height;
    }
  };

  const fillers = ({block, room, tall}) => {  // the blocks after a figure that fill the room before it
    const taken = [], kind = block.classList[0];
    let used = 0, last = block.getBoundingClientRect().bottom;
    for (let next = block.nextElementSibling; next && used < room; next = next.nextElementSibling) {
      const box = next.getBoundingClientRect();
      if (heading(next)) break;
      if (!box.height) continue;
      used += box.bottom - last;
      last = box.bottom;
      // Figures stay in order, and so do tables, but a table may pass a figure where it fits.
      if (next.matches(`figure.${kind}`) || used - room + tall > height || figure(next) && used > room) break;
      taken.push(next);
    }
    return taken;
  };

  const shrink = ({block, room, tall}, least) => {  // a little, so that a figure fits where it stands
    const drawing = block.querySelector(".visual > :is(svg, .cards)"), box = drawing?.getBoundingClientRect();
    const share = box && 1 - (tall - room + 4) / box.height;
    if (!(share >= least)) return false;
    drawing.style.width = `${share * box.width}px`;
    return true;
  };

  for (const link of document.querySelectorAll(".print-contents a")) link.dataset.page = "00";  // room for its number
  for (const box of document.querySelectorAll("main :is(.equation, .scroll)")) {  // or the browser shrinks every page
    if (box.scrollWidth > box.clientWidth) box.style.zoom = box.clientWidth / box.scrollWidth;
  }
  const settled = new Set();
  for (let found; found = firstGap(settled);) {
    settled.add(found.block);
    if (shrink(found, 0.8)) continue;
    const taken = fillers(found);
    if (taken.length) taken.at(-1).after(found.block);
    else shrink(found, 0.7);
  }
}
