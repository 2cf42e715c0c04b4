// The input window that a hand can change: see core/ui/poke.py, which says what `data` holds.
//
// The server owns the series. While a hand moves, only a copy is drawn; on release the edit is sent, and what is drawn
// next is what the server makes of it.

const SVG = "http://www.w3.org/2000/svg";
const ROOM = 0.18; // of the range, kept free above and below to drag into
const STILL = 3; // pixels that are no drag yet
const MOUSE = 16, FINGER = 28; // pixels from which a point is taken hold of
const PAUSE = 350; // ms after the last arrow key until its edit is sent

const pokes = new WeakMap();

export default function ({ parentElement, data, setTriggerValue }) {
  let poke = pokes.get(parentElement);
  if (!poke) {
    poke = new Poke(parentElement);
    pokes.set(parentElement, poke);
  }
  // both are events: choosing the same steps again must be heard again
  poke.choose = (span) => setTriggerValue("chosen", span ? { from: span[0], to: span[1] - 1 } : { none: true });
  poke.send = (gesture) => setTriggerValue("gesture", gesture);
  poke.show(data);
  return () => {
    poke.end();
    pokes.delete(parentElement);
  };
}

class Poke {
  constructor(root) {
    this.box = root.querySelector(".poke");
    this.plot = root.querySelector(".plot");
    this.svg = root.querySelector("svg");
    this.at = null; // the step under the keys
    this.anchor = null; // where a selection by keys began
    this.selection = null; // [start, stop)
    this.pending = null; // an edit by keys, not yet sent
    this.drag = null;
    // from back to front; only the grip and the selection answer a hand in their own way
    for (const [name, kind] of [
      ["ahead", "rect"], ["grid", "g"], ["span", "rect"], ["missing", "g"], ["original", "path"],
      ["truth", "path"], ["before", "path"], ["forecast", "path"], ["line", "path"], ["dots", "g"],
      ["now", "line"], ["cursor", "line"], ["knob", "circle"], ["grip", "path"],
    ]) {
      this[name] = draw(kind, { class: name }, this.svg);
    }
    this.plot.onpointerdown = (event) => this.down(event);
    this.plot.onpointermove = (event) => this.move(event);
    this.plot.onpointerup = (event) => this.up(event);
    this.plot.onpointercancel = () => this.abandon();
    this.plot.onpointerleave = () => !this.drag && this.tell(null);
    // a finger on the line or on the choice moves it; elsewhere it scrolls the page, or chooses steps. (Browsers do
    // not follow touch-action on a part of an SVG.)
    this.plot.addEventListener("touchstart", (event) => {
      const [px, py, step] = this.where(event.touches[0]);
      if (step < this.data.past.length && (this.within(step) || this.near(px, py, FINGER) !== null)) {
        event.preventDefault();
        this.plot.focus({ preventScroll: true });
      }
    }, { passive: false });
    this.plot.onkeydown = (event) => this.key(event);
    this.plot.onfocus = () => { this.at ??= this.data.past.length - 1; this.paint(); };
    this.plot.onblur = () => { this.flush(); this.anchor = null; this.paint(); };
    this.watch = new ResizeObserver(() => this.paint());
    this.watch.observe(this.plot);
  }

  end() {
    clearTimeout(this.timer);
    this.watch.disconnect();
  }

  // -- what the server says --------------------------------------------------------------------------------------

  show(data) {
    this.data = data;
    this.box.classList.toggle("large", data.large);
    if (!this.drag) this.adopt();
  }

  adopt() {
    const { past, selection } = this.data;
    this.values = past.slice();
    this.selection = selection;
    if (this.at !== null) this.at = Math.min(this.at, past.length - 1);
    if (this.pending) this.preview(this.pending);
    this.name();
    this.paint();
  }

  name() {
    const { label, unit, ahead, original, before, hint } = this.data;
    const told = (name) => this.box.querySelector(`.${name}`);
    told("label").textContent = label;
    told("unit").textContent = unit;
    told("hint").textContent = hint;
    told("key-original").hidden = !original;
    told("key-before").hidden = !before;
    told("key-forecast").hidden = !this.data.forecast.length;
    told("key-forecast").textContent = ahead ? `forecast of ${ahead}` : "forecast";
    this.plot.setAttribute("aria-label", `Input window of ${label}`);
    this.tell(null);
  }

  // -- drawing ---------------------------------------------------------------------------------------------------

  paint() {
    const width = this.plot.clientWidth;
    if (!width || !this.data) return;
    this.place(width);
    const { past, original, forecast, before, truth, ahead } = this.data;
    const { left, right, top, bottom, wide, x, y, yAhead } = this;
    const steps = past.length;
    const line = (values, first, scale) => path(values.map((v, i) => (v === null ? null : [x(first + i), scale(v)])));
    // the forecast starts at the last observed point, so that it does not hang in the air
    const joined = (values, last) => (ahead ? line(values, steps, yAhead)
      : line([last, ...values], steps - 1, y));
    set(this.svg, { viewBox: `0 0 ${width} ${this.height}`, width, height: this.height });
    set(this.ahead, { x: x(steps - 0.5), y: top, width: Math.max(right - x(steps - 0.5), 0), height: bottom - top });
    set(this.now, { x1: x(steps - 0.5), x2: x(steps - 0.5), y1: top, y2: bottom });
    this.axes();
    const now = line(this.values, 0, y);
    set(this.line, { d: now });
    set(this.grip, { d: now });
    set(this.original, { d: original ? line(original, 0, y) : "" });
    set(this.truth, { d: truth ? (ahead ? line(truth, steps, yAhead) : joined(truth, this.values.at(-1))) : "" });
    set(this.before, { d: before ? joined(before, (original ?? past).at(-1)) : "" });
    set(this.forecast, { d: joined(forecast, past.at(-1)) });
    this.dots.replaceChildren();
    if (wide >= 4) {
      this.values.forEach((v, i) => {
        if (v === null) return;
        const moved = original && original[i] !== v;
        draw("circle", { cx: x(i), cy: y(v), r: moved ? 3.2 : Math.min(wide / 4, 2.4), class: moved ? "moved" : "" },
          this.dots);
      });
    }
    this.missing.replaceChildren();
    this.values.forEach((v, i) => {
      if (v === null) draw("rect", { x: x(i - 0.5), y: top, width: wide, height: bottom - top }, this.missing);
    });
    const [a, b] = this.selection ?? [0, 0];
    set(this.span, { x: x(a - 0.5), y: top, width: (b - a) * wide, height: bottom - top });
    const value = this.at === null ? null : this.values[this.at];
    const shown = this.at !== null;
    set(this.cursor, { x1: x(this.at), x2: x(this.at), y1: top, y2: bottom, visibility: shown ? "visible" : "hidden" });
    set(this.knob, { cx: x(this.at), cy: value === null ? 0 : y(value), r: 6,
      visibility: shown && value !== null ? "visible" : "hidden" });
    this.say();
  }

  place(width) {
    const { past, original, forecast, before, truth, ahead, large } = this.data;
    const size = large ? 20 : 12;
    this.height = large ? 360 : 270;
    const own = [past, original ?? []], theirs = [forecast, before ?? [], truth ?? []];
    this.domain = range(ahead ? own : [...own, ...theirs]);
    this.aheadDomain = ahead ? range(theirs) : this.domain;
    this.ticks = nice(...this.domain, 5);
    this.aheadTicks = ahead ? nice(...this.aheadDomain, 5) : [];
    const room = (ticks) => Math.max(...ticks.map((t) => short(t).length), 1) * size * 0.58 + 10;
    const { gutter } = this.data;
    this.left = gutter ? gutter[width < 520 ? 0 : 1] : room(this.ticks);
    this.right = width - (gutter ? gutter[2] : ahead ? room(this.aheadTicks) : 8);
    this.top = 8;
    this.bottom = this.height - size - 12;
    this.wide = (this.right - this.left) / (past.length + forecast.length);
    this.x = (step) => this.left + (step + 0.5) * this.wide;
    const scale = ([low, high]) => (v) => this.bottom - ((v - low) / (high - low)) * (this.bottom - this.top);
    this.y = scale(this.domain);
    this.yAhead = scale(this.aheadDomain);
    this.value = (py) => {
      const [low, high] = this.domain;
      const part = (this.bottom - py) / (this.bottom - this.top);
      return low + Math.min(Math.max(part, 0), 1) * (high - low);
    };
  }

  axes() {
    const { grid, left, right, bottom, x, y, yAhead, data } = this;
    const size = data.large ? 20 : 12, steps = data.past.length, horizon = data.forecast.length;
    grid.replaceChildren();
    const say = (text, about) => { draw("text", about, grid).textContent = text; };
    for (const tick of this.ticks) {
      draw("line", { x1: left, x2: data.ahead ? x(steps - 0.5) : right, y1: y(tick), y2: y(tick) }, grid);
      say(short(tick), { x: left - 6, y: y(tick) + size * 0.35, "text-anchor": "end" });
    }
    for (const tick of this.aheadTicks) {
      draw("line", { x1: x(steps - 0.5), x2: right, y1: yAhead(tick), y2: yAhead(tick) }, grid);
      say(short(tick), { x: right + 6, y: yAhead(tick) + size * 0.35 });
    }
    if (!data.large && left > 36) say("step", { x: left - 6, y: bottom + size + 5, "text-anchor": "end" });
    let free = left - (data.large ? size : 10); // where the last label ends
    const under = (text, step) => {
      const half = text.length * size * 0.3 + 4;
      if (x(step) - half < free || x(step) + half > this.plot.clientWidth) return;
      say(text, { x: x(step), y: bottom + size + 5, "text-anchor": "middle" });
      free = x(step) + half;
    };
    const nowRoom = 3 * size * 0.6 + 8;
    for (const tick of nice(0, steps - 1, 6, true)) {
      if (x(tick) + nowRoom < x(steps)) under(`${data.first + tick}`, tick);
    }
    under("now", steps - 0.5);
    for (const tick of nice(0, horizon, 3, true)) if (tick > 0 && tick <= horizon) under(`+${tick}`, steps + tick - 1);
  }

  // -- in words --------------------------------------------------------------------------------------------------

  words(step) {
    if (step >= this.data.past.length) {
      const ahead = step - this.data.past.length;
      return `${ahead + 1} ahead: ${short(this.data.forecast[ahead])}`;
    }
    const value = this.values[step];
    return `Step ${this.data.first + step}: ${value === null ? "missing" : short(value)}`;
  }

  tell(step) {
    const chosen = this.chosen();
    const told = step ?? this.at;
    this.box.querySelector(".told").textContent = [told === null ? "" : this.words(told), chosen]
      .filter(Boolean).join(" · ") || "\u00a0";
  }

  chosen() {
    if (!this.selection) return "";
    const [a, b] = this.selection, first = this.data.first;
    return b - a === 1 ? `step ${first + a} chosen` : `steps ${first + a} to ${first + b - 1} chosen`;
  }

  say() {
    const at = this.at ?? this.data.past.length - 1, value = this.values[at];
    set(this.plot, {
      "aria-valuemin": this.domain[0], "aria-valuemax": this.domain[1], "aria-valuenow": value ?? this.domain[0],
      "aria-valuetext": [this.words(at), this.chosen()].filter(Boolean).join(", "),
    });
    if (!this.hovering) this.tell(null);
  }

  // -- a hand ----------------------------------------------------------------------------------------------------

  where(event) {
    const box = this.svg.getBoundingClientRect();
    const px = event.clientX - box.left, py = event.clientY - box.top;
    return [px, py, Math.floor((px - this.left) / this.wide)];
  }

  within(step) {
    return this.selection !== null && step >= this.selection[0] && step < this.selection[1];
  }

  near(px, py, reach) {
    let best = null, least = reach;
    const around = Math.ceil(8 / this.wide), step = Math.floor((px - this.left) / this.wide);
    for (let i = step - around; i <= step + around; i++) {
      const value = this.values[i] ?? null;
      if (value === null) continue;
      const far = Math.hypot(this.x(i) - px, this.y(value) - py);
      if (far < least) [best, least] = [i, far];
    }
    return best;
  }

  down(event) {
    if (event.button !== 0 || this.drag) return;
    const [px, py, step] = this.where(event), steps = this.data.past.length;
    if (step >= steps) return;
    this.flush();
    this.anchor = null;
    const inside = this.within(step);
    const point = inside ? null : this.near(px, py, event.pointerType === "mouse" ? MOUSE : FINGER);
    const at = Math.max(point ?? step, 0);
    this.drag = { mode: inside ? "shift" : point === null ? "select" : "point", px, py, at, moved: false };
    this.at = at;
    this.plot.setPointerCapture(event.pointerId);
    this.paint();
  }

  move(event) {
    const [px, py, step] = this.where(event);
    const total = this.data.past.length + this.data.forecast.length;
    this.hovering = !this.drag && step >= 0 && step < total;
    if (!this.drag) {
      this.tell(this.hovering ? step : null);
      return;
    }
    const drag = this.drag;
    drag.moved ||= Math.hypot(px - drag.px, py - drag.py) > STILL;
    if (!drag.moved) return;
    this.values = this.data.past.slice();
    if (drag.mode === "select") {
      const to = Math.min(Math.max(step, 0), this.data.past.length - 1);
      this.selection = [Math.min(drag.at, to), Math.max(drag.at, to) + 1];
    } else {
      drag.edit = drag.mode === "point" ? { kind: "set", start: drag.at, stop: drag.at + 1, value: exact(this.value(py)) }
        : { kind: "shift", start: this.selection[0], stop: this.selection[1],
          value: exact(this.value(py) - this.value(drag.py)) };
      this.preview(drag.edit);
    }
    this.paint();
  }

  up(event) {
    const drag = this.drag;
    if (!drag) return;
    this.drag = null;
    this.plot.releasePointerCapture(event.pointerId);
    if (drag.moved && drag.edit) {
      this.send(this.own(drag.edit));
    } else if (drag.mode === "select") {
      if (!drag.moved) this.selection = null;
      this.choose(this.selection && this.selection.map((s) => s + this.data.first));
    }
    this.paint();
  }

  abandon() {
    if (!this.drag) return;
    this.drag = null;
    this.adopt();
  }

  // steps of the whole window, where only a stretch of it is drawn
  own(edit) {
    return { ...edit, start: edit.start + this.data.first, stop: edit.stop + this.data.first };
  }

  preview({ kind, start, stop, value }) {
    for (let i = start; i < stop; i++) {
      if (kind === "set") this.values[i] = value;
      else if (this.values[i] !== null) this.values[i] += value;
    }
  }

  // -- keys ------------------------------------------------------------------------------------------------------

  key(event) {
    const steps = this.data.past.length, [low, high] = this.domain;
    const coarse = event.shiftKey ? 10 : 1, fine = (high - low) / 100;
    const ways = {  // page keys are left to the lesson, whose clicker sends them
      ArrowLeft: () => this.go(this.at - coarse), ArrowRight: () => this.go(this.at + coarse),
      Home: () => this.go(0), End: () => this.go(steps - 1),
      ArrowUp: () => this.lift(coarse * fine), ArrowDown: () => this.lift(-coarse * fine),
      Enter: () => this.flush(), " ": () => this.hold(), Escape: () => this.drop(),
    };
    const way = ways[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.at ??= steps - 1;
    this.hovering = false;
    way();
    this.paint();
  }

  go(step) {
    this.flush();
    this.at = Math.min(Math.max(step, 0), this.data.past.length - 1);
    if (this.anchor !== null) {
      this.selection = [Math.min(this.anchor, this.at), Math.max(this.anchor, this.at) + 1];
    }
  }

  // the space bar begins a selection, and ends it
  hold() {
    if (this.anchor === null) {
      this.anchor = this.at;
      this.selection = [this.at, this.at + 1];
      return;
    }
    this.anchor = null;
    this.choose(this.selection.map((s) => s + this.data.first));
  }

  lift(by) {
    if (this.within(this.at)) {
      const [a, b] = this.selection;
      this.anchor = null;
      const before = this.pending?.kind === "shift" ? this.pending.value : 0;
      this.pending = { kind: "shift", start: a, stop: b, value: exact(before + by) };
    } else {
      const known = this.values.filter((v) => v !== null);
      const middle = known.reduce((sum, v) => sum + v, 0) / Math.max(known.length, 1);
      this.pending = { kind: "set", start: this.at, stop: this.at + 1,
        value: exact((this.values[this.at] ?? middle) + by) };
    }
    this.values = this.data.past.slice();
    this.preview(this.pending);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), PAUSE);
  }

  drop() {
    if (this.drag) return this.abandon();
    clearTimeout(this.timer);
    const selected = this.selection;
    this.pending = this.anchor = null;
    this.adopt();
    this.selection = null;
    if (selected) this.choose(null);
  }

  flush() {
    clearTimeout(this.timer);
    if (!this.pending) return;
    const edit = this.pending;
    this.pending = null;
    this.send(this.own(edit));
  }
}

// -- small things --------------------------------------------------------------------------------------------------

function draw(kind, about, into) {
  const made = document.createElementNS(SVG, kind);
  set(made, about);
  into.append(made);
  return made;
}

function set(element, about) {
  for (const [name, value] of Object.entries(about)) element.setAttribute(name, value);
}

// a line that breaks where a point is missing; a point between two gaps is a dot
function path(points) {
  let text = "", pen = false;
  for (const point of points) {
    if (point) {
      const at = `${point[0].toFixed(1)},${point[1].toFixed(1)}`;
      text += pen ? `L${at}` : `M${at}h0`;
    }
    pen = Boolean(point);
  }
  return text;
}

function range(lists) {
  let low = Infinity, high = -Infinity;
  for (const list of lists) {
    for (const v of list) {
      if (v === null) continue;
      low = Math.min(low, v);
      high = Math.max(high, v);
    }
  }
  if (low > high) return [0, 1];
  const wide = high - low || Math.abs(high) || 1;
  return [low - ROOM * wide, high + ROOM * wide];
}

function nice(low, high, count, whole = false) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough || 1));
  let every = [1, 2, 5, 10].map((m) => m * power).find((step) => step >= rough);
  if (whole) every = Math.max(1, Math.round(every));
  const found = [];
  for (let tick = Math.ceil(low / every) * every; tick <= high + every * 1e-9; tick += every) {
    found.push(Math.abs(tick) < every * 1e-9 ? 0 : Number(tick.toPrecision(12)));
  }
  return found;
}

function exact(value) {
  return Number(value.toPrecision(6));
}

function short(value) {
  if (value === null || value === undefined) return "missing";
  const size = Math.abs(value);
  const text = size && (size >= 1e6 || size < 1e-4) ? value.toExponential(2) : `${Number(value.toPrecision(4))}`;
  return text.replace("-", "\u2212").replace("e+", "e");
}
