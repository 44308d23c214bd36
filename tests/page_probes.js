// What the tests of the report ask a page for, and do to it as a reader would.
(() => {
  const all = (selector, at = document) => [...at.querySelectorAll(selector)];
  const visible = (e) => e.checkVisibility();
  const rows = () => all("#accuracy tbody tr").filter(visible);
  const cells = (row) => [...row.cells].filter(visible);
  const kinds = {
    sort: "#accuracy thead th button",
    details: "summary",
    copy: "[data-copy]",
    filter: "input[type=radio][name=labels]",
  };
  // Whether a box that scrolls or cuts holds an element: what is placed absolutely is held
  // by boxes around the one it is placed in only.
  const boxed = (e) => {
    let free = getComputedStyle(e).position === "absolute";
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement) {
      const { position, overflowX } = getComputedStyle(p);
      if (position !== "static") free = false;
      if (!free && overflowX !== "visible") return true;
      if (position === "absolute") free = true;
    }
    return false;
  };
  return {
    openDetails: () => all("details").forEach((e) => (e.open = true)),
    useAll: () => all("button,input,summary").filter(visible).forEach((e) => e.click()),
    closedDetails: () => all("details:not([open])").length,
    beforePrint: () => dispatchEvent(new Event("beforeprint")),
    bottoms: (selector) =>
      all(selector).map((e) => e.getBoundingClientRect().bottom + scrollY),
    // The width of the page, and what sticks out of the window.
    width: () => {
      const root = document.scrollingElement;
      const wide = all("body *").filter((e) =>
        visible(e) && e.getBoundingClientRect().right > root.clientWidth + 1 && !boxed(e));
      return [root.scrollWidth, wide.slice(0, 5).map((e) => e.outerHTML.slice(0, 120))];
    },
    // Words of at most so many letters that stand on several lines, and how often; where
    // there is a hyphen or a slash a word may part.
    torn: (letters) => {
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      const range = document.createRange(), found = {};
      while (walker.nextNode()) {
        const node = walker.currentNode, home = node.parentElement;
        if (!visible(home) || home.closest("script,svg,pre,.unseen")) continue;
        for (const { 0: word, index } of node.data.matchAll(/\S+/g)) {
          if (word.length > letters || /[-–—/]/.test(word)) continue;
          range.setStart(node, index);
          range.setEnd(node, index + word.length);
          const lines = new Set([...range.getClientRects()].filter((box) => box.width > 0)
            .map((box) => Math.round(box.top)));
          const name = `${word} in ${home.closest("[id]")?.id}`;
          if (lines.size > 1) found[name] = (found[name] ?? 0) + 1;
        }
      }
      return found;
    },
    // Each picture, loaded: its size in its own pixels, and what it says to those who do
    // not see it.
    pictures: () => Promise.all([...document.images].map(async (image) => {
      image.loading = "eager";
      await image.decode().catch(() => {});
      return [image.naturalWidth, image.naturalHeight, image.alt];
    })),
    // For each table, its heads: what they are heads of, and what they say.
    heads: () => all("table").map((table) =>
      all("th", table).map((th) => [th.getAttribute("scope"), th.textContent.trim()])),
    // The main table as it is seen: rows of texts.
    rows: () => rows().map((row) => cells(row).map((cell) => cell.innerText)),
    // Clicks the head of a sortable column. Returns its text, its state, the states of all
    // heads, and the column's place among the visible cells of a row.
    sort: (index) => {
      const button = all(kinds.sort)[index], head = button.closest("th");
      button.click();
      const { left, right } = head.getBoundingClientRect(), middle = (left + right) / 2;
      const place = cells(rows()[0]).findIndex((cell) => {
        const box = cell.getBoundingClientRect();
        return box.left <= middle && middle <= box.right;
      });
      const states = all("#accuracy [aria-sort]").map((e) => e.getAttribute("aria-sort"));
      return [head.innerText, head.getAttribute("aria-sort"),
        states.filter((state) => state !== "none"), place];
    },
    // Chooses labels by number. Returns how many choices there are.
    choose: (index) => {
      all(kinds.filter)[index]?.click();
      return all(kinds.filter).length;
    },
    copy: async (kind) => {
      window.ddjaxCopied = undefined;
      all(`[data-copy=${kind}]`)[0].click();
      for (let i = 0; i < 50 && !window.ddjaxCopied; i++) {
        await new Promise((done) => setTimeout(done, 20));
      }
      return window.ddjaxCopied;
    },
    // What stands around the buttons that copy.
    copyWords: () => all(kinds.copy).flatMap((e) => [...e.parentElement.childNodes])
      .map((node) => node.textContent.trim()),
    // How many elements of each kind can be used, and which has the focus: its kind, its
    // number among them, and whether one can tell that it has the focus.
    usable: () => Object.fromEntries(Object.entries(kinds).map(([kind, selector]) =>
      [kind, all(selector).filter(visible).length])),
    focused: () => {
      const e = document.activeElement;
      if (!e || e === document.body) return null;
      const kind = Object.keys(kinds).find((k) => e.matches(kinds[k])) ?? "other";
      const style = getComputedStyle(e);
      const outlined = style.outlineStyle !== "none" || style.boxShadow !== "none";
      return [kind, all(kinds[kind] ?? "*").indexOf(e), kind === "filter" || outlined,
        e.outerHTML.slice(0, 100)];
    },
    focusedState: () => {
      const e = document.activeElement;
      return e.closest("th")?.getAttribute("aria-sort") ?? e.closest("details")?.open;
    },
  };
})()
