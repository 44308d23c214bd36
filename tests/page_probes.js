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
  // Whether an element lies in a box that scrolls or cuts.
  const boxed = (e) => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement) {
      if (getComputedStyle(p).overflowX !== "visible") return true;
    }
    return false;
  };
  return {
    openDetails: () => all("details").forEach((e) => (e.open = true)),
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
    // For each table, what its heads say that they are heads of.
    scopes: () => all("table").map((table) =>
      all("th", table).map((th) => th.getAttribute("scope"))),
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
    copyNames: () => all(kinds.copy).map((e) => e.innerText),
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
