(function () {
  "use strict";
  var all = function (query, within) { return Array.from((within || document).querySelectorAll(query)); };
  var table = document.getElementById("accuracy");
  all("[data-copy], .tools").forEach(function (part) { part.hidden = false; });
  window.addEventListener("beforeprint", function () { all("details").forEach(function (part) { part.open = true; }); });

  function shown(cell) { return cell.offsetParent !== null; }
  function words(cell) { return cell.textContent.replace(/\s+/g, " ").trim(); }

  // Sorting: by the number of a cell, else by its text. Full data stays last.
  function sort(head) {
    var order = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
    var body = table.tBodies[0], at = head.cellIndex, rows = Array.from(body.rows);
    var text = !rows.some(function (row) { return parseFloat(row.cells[at].dataset.v) >= -Infinity; });
    if (text) order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    all("[aria-sort]", table).forEach(function (other) { other.setAttribute("aria-sort", "none"); });
    head.setAttribute("aria-sort", order);
    var sign = order === "ascending" ? 1 : -1;
    rows = rows.map(function (row) {
      var cell = row.cells[at], number = parseFloat(cell.dataset.v);
      return { row: row, last: row.classList.contains("full"), value: text ? words(cell) : number };
    });
    rows.sort(function (a, b) {
      if (a.last !== b.last) return a.last ? 1 : -1;
      if (text) return sign * a.value.localeCompare(b.value);
      if (isNaN(a.value) || isNaN(b.value)) return isNaN(a.value) - isNaN(b.value);
      return sign * (a.value - b.value);
    });
    rows.forEach(function (each) { body.appendChild(each.row); });
  }
  if (table) all("th button", table).forEach(function (button) {
    button.addEventListener("click", function () { sort(button.closest("th")); });
  });

  // Copying: what is visible, the best bold, a star where an interval leaves out 0.
  function parts(cell) {
    var find = function (name) { var part = cell.querySelector(name); return part ? words(part) : ""; };
    if (cell.tagName === "TH" && cell.querySelector("bdi")) return { text: find("bdi") };
    if (!cell.querySelector(".a")) return { text: words(cell) };
    var gap = cell.querySelector(".g"), marks = find(".marks");
    var note = gap ? words(gap).replace(marks, "").trim() : "";
    return { text: (find(".a") + " " + find(".c")).trim(), best: !!cell.querySelector(".top"), note: note, star: !!marks };
  }
  function grid() {
    var heads = Array.from(table.tHead.rows[table.tHead.rows.length - 1].cells).filter(shown);
    var rows = Array.from(table.tBodies[0].rows).map(function (row) { return Array.from(row.cells).filter(shown).map(parts); });
    return { heads: heads.map(function (head) { return head.dataset.name || words(head); }), rows: rows };
  }
  function markdown(found) {
    var escape = function (text) { return text.replace(/([\\|*_`<>\[\]])/g, "\\$1"); };
    var line = function (texts) { return "| " + texts.join(" | ") + " |"; };
    var cell = function (part) {
      var text = escape(part.text);
      return (part.best ? "**" + text + "**" : text) + (part.note ? " (" + escape(part.note) + ")" : "") + (part.star ? "\\*" : "");
    };
    return [line(found.heads.map(escape)), line(found.heads.map(function (_, i) { return i ? "---:" : "---"; }))]
      .concat(found.rows.map(function (row) { return line(row.map(cell)); })).join("\n") + "\n";
  }
  function latex(found) {
    var names = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" };
    var escape = function (text) {
      return text.replace(/[\\~^{}$&#_%]/g, function (sign) { return names[sign] || "\\" + sign; })
        .replace(/±/g, "$\\pm$").replace(/−/g, "$-$").replace(/–/g, "--");
    };
    var cell = function (part) {
      var text = escape(part.text);
      return (part.best ? "\\textbf{" + text + "}" : text) + (part.note ? " (" + escape(part.note) + ")" : "") + (part.star ? "$^*$" : "");
    };
    var line = function (texts) { return texts.join(" & ") + " \\\\"; };
    var columns = "l" + "r".repeat(found.heads.length - 1);
    return ["\\begin{tabular}{" + columns + "}", "\\hline", line(found.heads.map(escape)), "\\hline"]
      .concat(found.rows.map(function (row) { return line(row.map(cell)); }), ["\\hline", "\\end{tabular}"]).join("\n") + "\n";
  }
  function put(text) {
    window.ddjaxCopied = text;
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text).catch(function () { fallBack(text); });
    fallBack(text);
  }
  function fallBack(text) {
    var area = document.createElement("textarea");
    area.value = text; area.style.position = "fixed"; area.style.opacity = "0";
    document.body.appendChild(area); area.select(); document.execCommand("copy"); area.remove();
  }
  all("[data-copy]").forEach(function (button) {
    var kind = button.dataset.copy, label = button.textContent;
    button.addEventListener("click", function () {
      put(kind === "markdown" ? markdown(grid()) : kind === "latex" ? latex(grid()) : document.getElementById(kind).textContent);
      button.textContent = "Copied";
      setTimeout(function () { button.textContent = label; }, 1200);
    });
  });
})();
