// Hints: what a header or row means, and the values of a chart, on pointing at them or on focus.

const hint = {
  box: document.getElementById("hint"),
  spoken: document.getElementById("spoken"),
  closing: 0,
  anchor: null,

  show(anchor, text) {
    clearTimeout(this.closing);
    this.anchor = anchor;
    this.box.textContent = text;
    this.box.hidden = false;
    this.place();
  },

  // Below the anchor, or above it if there is no room.
  place() {
    const { box } = this;
    const { left, top, bottom } = this.anchor.getBoundingClientRect();
    const [width, height] = [box.offsetWidth, box.offsetHeight];
    const below = bottom + 6 + height <= innerHeight ? bottom + 6 : Math.max(0, top - 6 - height);
    box.style.left = `${Math.max(4, Math.min(left, document.documentElement.clientWidth - width - 4))}px`;
    box.style.top = `${below}px`;
  },

  hide() {
    clearTimeout(this.closing);
    this.box.hidden = true;
    for (const circle of document.querySelectorAll(".values .pointed")) circle.classList.remove("pointed");
  },

  // Not at once, so that the pointer can move onto the hint.
  leave() {
    clearTimeout(this.closing);
    this.closing = setTimeout(() => this.hide(), 200);
  },
};

// Screen readers get the description of a button from aria-describedby themselves.
function explain(button) {
  const text = document.getElementById(button.getAttribute("aria-describedby")).textContent;
  hint.show(button, text);
}

function point(chart, circle, { aloud = false } = {}) {
  for (const other of chart.querySelectorAll(".pointed")) other.classList.remove("pointed");
  circle.classList.add("pointed");
  hint.show(circle, circle.dataset.hint);
  if (aloud) hint.spoken.textContent = circle.dataset.hint;
}

const valuesOf = chart => [...chart.querySelectorAll("[data-hint]")];

// The nearest value to the pointer, if it is near.
function nearest(chart, { clientX, clientY }, within = 40) {
  const box = chart.getBoundingClientRect();
  const scale = box.width / chart.viewBox.baseVal.width;
  let [found, least] = [null, within];
  for (const circle of valuesOf(chart)) {
    const far = Math.hypot(box.left + scale * circle.cx.baseVal.value - clientX,
      box.top + scale * circle.cy.baseVal.value - clientY);
    if (far < least) [found, least] = [circle, far];
  }
  return found;
}

function walk(chart, key) {
  const circles = valuesOf(chart);
  const at = circles.findIndex(circle => circle.classList.contains("pointed"));
  const places = {
    ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: circles.length - 1,
  };
  if (!(key in places)) return false;
  point(chart, circles[Math.max(0, Math.min(circles.length - 1, places[key]))], { aloud: true });
  return true;
}

const closest = (event, selector) => (event.target instanceof Element ? event.target.closest(selector) : null);

document.addEventListener("pointerover", event => {
  const button = closest(event, "button[aria-describedby]");
  if (button) explain(button);
  else if (closest(event, "#hint")) clearTimeout(hint.closing);
});
document.addEventListener("pointerout", event => {
  if (closest(event, "button[aria-describedby], .values, #hint")) hint.leave();
});
for (const kind of ["pointermove", "pointerdown"]) {
  document.addEventListener(kind, event => {
    const chart = closest(event, ".values");
    if (!chart) return;
    const circle = nearest(chart, event);
    if (circle) point(chart, circle);
    else hint.leave();
  });
}
document.addEventListener("focusin", event => {
  const button = closest(event, "button[aria-describedby]");
  if (button?.matches(":focus-visible")) explain(button);
});
document.addEventListener("focusout", event => {
  if (closest(event, "button[aria-describedby], .values")) hint.hide();
});
document.addEventListener("keydown", event => {
  if (event.key === "Escape") hint.hide();
  const chart = closest(event, ".values");
  if (chart && walk(chart, event.key)) event.preventDefault();
});
// Focus may scroll, and keeps its hint; so does what is still under the pointer.
document.addEventListener("scroll", () => {
  if (hint.box.hidden) return;
  if (hint.anchor.closest(":focus") || hint.anchor.matches(":hover")) hint.place();
  else hint.hide();
}, { capture: true, passive: true });

// Without this script, browsers show the titles themselves.
for (const title of document.querySelectorAll(".values title")) {
  title.parentNode.dataset.hint = title.textContent;
  title.remove();
}

addEventListener("beforeprint", () => {
  for (const legend of document.querySelectorAll("details.legend")) legend.open = true;
});
