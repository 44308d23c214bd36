// Every visible text of a page: what it says, where it stands, how well it can be read.
// Returns [{text, where, drawn, size, contrast, needed, over, left, right, top, bottom}],
// sizes in CSS pixels; `drawn` is true in an SVG; `over` where a picture lies behind, so
// that no contrast is known.
() => {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true });
  // A function of one value, computed once for each.
  const once = (compute, known = new Map()) => (value) => {
    if (!known.has(value)) known.set(value, compute(value));
    return known.get(value);
  };
  const rgba = once((colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  });
  const onto = (below, [r, g, b, a], opacity = 1) =>
    [r, g, b].map((value, i) => value * a * opacity + below[i] * (1 - a * opacity));
  const luminance = (colour) => {
    const [r, g, b] = colour.map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const sheet = document.createElement("i");
  sheet.style.backgroundColor = "Canvas";
  document.body.append(sheet);
  const blank = onto([255, 255, 255], rgba(getComputedStyle(sheet).backgroundColor));
  sheet.remove();
  const hidden = once((e) => {
    const style = getComputedStyle(e);
    return style.clipPath.startsWith("inset(50%") || style.clip.startsWith("rect(0px") ||
      (style.overflow !== "visible" && e.clientWidth <= 1 && e.clientHeight <= 1 &&
        style.display !== "inline") || (e.parentElement !== null && hidden(e.parentElement));
  });
  // The shapes of a drawing, in the order in which they are painted.
  const painted = once((svg) =>
    [...svg.querySelectorAll("rect,circle,ellipse,path,polygon")]
      .filter((e) => e.checkVisibility() && !e.closest("defs,clipPath,mask")));
  // The ground that an element's boxes paint, and the opacity of what it is painted with.
  const ground = once((e) => {
    const below = e.parentElement ? ground(e.parentElement)
      : { colour: blank, opacity: 1, over: false };
    const style = getComputedStyle(e), paint = rgba(style.backgroundColor);
    const opacity = below.opacity * style.opacity;
    return {
      opacity, colour: onto(below.colour, paint, opacity),
      over: (below.over && paint[3] < 1) || style.backgroundImage !== "none",
    };
  });
  // The same for a text, with the shapes of a drawing.
  const behind = (element, style, box) => {
    let { colour, opacity, over } = ground(element);
    const svg = element.ownerSVGElement;
    if (!svg) return { colour, opacity, over };
    const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
    for (const shape of painted(svg)) {
      if (!(shape.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING)) break;
      const its = getComputedStyle(shape);
      const at = new DOMPoint(x, y).matrixTransform(shape.getScreenCTM().inverse());
      if (its.fill === "none" || !shape.isPointInFill(at)) continue;
      if (its.fill.startsWith("url")) over = true;
      else colour = onto(colour, rgba(its.fill), its.fillOpacity * its.opacity);
    }
    if (style.paintOrder.startsWith("stroke") && parseFloat(style.strokeWidth) >= 2) {
      [colour, over] = [onto(colour, rgba(style.stroke), +style.strokeOpacity), false];
    }
    return { colour, opacity, over };
  };
  const place = (e) => {
    const home = e.closest("[id]");
    const name = e.tagName.toLowerCase() + [...e.classList].map((c) => "." + c).join("");
    return home ? `${name} in #${home.id}` : name;
  };
  const told = (text, element, style, box) => {
    const { colour, opacity, over } = behind(element, style, box);
    const matrix = element.ownerSVGElement && element.getScreenCTM();
    const scale = matrix ? Math.hypot(matrix.a, matrix.b) : 1;
    const size = parseFloat(style.fontSize) * scale;
    const large = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700);
    const ink = rgba(element.ownerSVGElement ? style.fill : style.color);
    return {
      text, where: place(element), drawn: !!element.ownerSVGElement,
      size, over, needed: large ? 3 : 4.5,
      contrast: ratio(onto(colour, ink, opacity), colour),
      left: box.left + scrollX, right: box.right + scrollX,
      top: box.top + scrollY, bottom: box.bottom + scrollY,
    };
  };
  const shown = (e) =>
    e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) &&
    !hidden(e);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (walker.nextNode()) {
    const [node, element] = [walker.currentNode, walker.currentNode.parentElement];
    const text = node.data.replace(/\s+/g, " ").trim();
    if (!text || element.matches("option,details:not([open])") || !shown(element)) continue;
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (box.width < 0.5 || box.height < 0.5 || box.right + scrollX <= 0) continue;
    found.push(told(text, element, getComputedStyle(element), box));
  }
  for (const element of document.body.querySelectorAll("*")) {
    for (const pseudo of ["::before", "::after"]) {
      const style = getComputedStyle(element, pseudo);
      if (/^"[^"]*[\p{L}\p{N}]/u.test(style.content) && shown(element)) {
        found.push(told(style.content, element, style, element.getBoundingClientRect()));
      }
    }
  }
  return found;
}
