// The input as people change it: an image on a canvas, or the cells of a row.
// props.shown comes from Python: the original, what is locked, and changes that were made there.
// props.value goes to Python: {number, changes: [[entry, value, ...], ...]}, all changes at once, so
// that a message that is passed over does no harm.
const find = (name) => element.querySelector(name);
const canvas = find(".sc-canvas");
const pen = canvas.getContext("2d");
const readout = find(".sc-readout");
let shown = null; // what Python sent last
let changes = new Map(); // entry -> values, one for each channel
let history = []; // earlier changes, by stroke
let cursor = 0; // an entry, on the keyboard
let painting = null; // the entry that was painted last, while a pointer is down

const isImage = () => shown.kind === "image";
const original = (entry) => shown.original[entry];
const current = (entry) => changes.get(entry) ?? original(entry);
const isChanged = (entry) => changes.has(entry);

function send() {
  props.value = { number: shown.number, changes: [...changes].map(([e, v]) => [e, ...v]) };
  trigger("input");
}

function put(entry, values) {
  const same = values.every((value, channel) => value === original(entry)[channel]);
  if (same) changes.delete(entry);
  else changes.set(entry, values);
}

function remember() {
  history.push(new Map(changes));
  offer();
}

function offer() {
  for (const button of element.querySelectorAll(".sc-undo")) button.disabled = !history.length;
  for (const button of element.querySelectorAll(".sc-reset")) button.disabled = !changes.size;
}

function undo() {
  if (shown.busy || !history.length) return;
  changes = history.pop();
  draw();
  send();
}

function reset() {
  if (shown.busy || !changes.size) return;
  remember();
  changes = new Map();
  draw();
  send();
}

// Images

function cell() {
  const [, height, width] = shown.shape;
  return Math.max(2, Math.floor(560 / Math.max(height, width)));
}

function css(values) {
  const bytes = (values.length === 1 ? [values[0], values[0], values[0]] : values).map((v) =>
    Math.round(255 * v),
  );
  return `rgb(${bytes.join(",")})`;
}

function draw() {
  offer();
  if (!isImage()) return drawCells();
  const [, height, width] = shown.shape;
  const side = cell();
  pen.clearRect(0, 0, canvas.width, canvas.height);
  for (let entry = 0; entry < height * width; entry++) {
    const x = (entry % width) * side;
    const y = Math.floor(entry / width) * side;
    pen.fillStyle = css(current(entry));
    pen.fillRect(x, y, side, side);
    if (shown.locked.includes(entry)) {
      pen.fillStyle = "rgba(120, 120, 120, 0.5)";
      pen.fillRect(x, y, side, side);
    }
  }
  if (side >= 8) {
    pen.strokeStyle = "rgba(128, 128, 128, 0.35)";
    pen.lineWidth = 1;
    pen.beginPath();
    for (let i = 0; i <= width; i++) (pen.moveTo(i * side, 0), pen.lineTo(i * side, height * side));
    for (let i = 0; i <= height; i++) (pen.moveTo(0, i * side), pen.lineTo(width * side, i * side));
    pen.stroke();
  }
  // One colour in another, so that a frame is seen on every colour.
  for (const entry of changes.keys()) {
    frame(entry, "#ffffff", Math.min(5, Math.max(1, side / 6)));
    frame(entry, "#d6293e", Math.min(3, Math.max(1, side / 10)));
  }
  if (document.activeElement === canvas) {
    frame(cursor, "#ffffff", Math.min(8, Math.max(2, side / 4)));
    frame(cursor, "#2563eb", Math.min(5, Math.max(1, side / 7)));
  }
}

function frame(entry, colour, thickness) {
  const width = shown.shape[2];
  const side = cell();
  pen.strokeStyle = colour;
  pen.lineWidth = thickness;
  const half = pen.lineWidth / 2;
  const x = (entry % width) * side + half;
  const y = Math.floor(entry / width) * side + half;
  pen.strokeRect(x, y, side - pen.lineWidth, side - pen.lineWidth);
}

function brush() {
  if (shown.shape[0] === 1) return [Number(find(".sc-value").value) / 255];
  const hex = find(".sc-colour").value;
  return [1, 3, 5].map((place) => parseInt(hex.slice(place, place + 2), 16) / 255);
}

function paint(entry) {
  const [, height, width] = shown.shape;
  const size = Number(find(".sc-size").value);
  const row = Math.floor(entry / width) - Math.floor((size - 1) / 2);
  const column = (entry % width) - Math.floor((size - 1) / 2);
  for (let y = Math.max(0, row); y < Math.min(height, row + size); y++)
    for (let x = Math.max(0, column); x < Math.min(width, column + size); x++)
      if (!shown.locked.includes(y * width + x)) put(y * width + x, brush());
  cursor = entry;
}

// The pixels between two, so that a quick stroke has no gaps.
function paintLine(from, to) {
  const width = shown.shape[2];
  const [x0, y0, x1, y1] = [from % width, Math.floor(from / width), to % width, Math.floor(to / width)];
  const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1);
  for (let step = 0; step <= steps; step++) {
    const x = Math.round(x0 + ((x1 - x0) * step) / steps);
    const y = Math.round(y0 + ((y1 - y0) * step) / steps);
    paint(y * width + x);
  }
}

function told(entry) {
  const width = shown.shape[2];
  const place = `Row ${Math.floor(entry / width) + 1}, column ${(entry % width) + 1}`;
  const value = current(entry).map((v) => `${Math.round(100 * v)} %`).join(", ");
  const state = shown.locked.includes(entry) ? ", protected" : isChanged(entry) ? ", changed" : "";
  readout.textContent = `${place}: ${value}${state}`;
}

function under(event) {
  const [, height, width] = shown.shape;
  const box = canvas.getBoundingClientRect();
  const x = Math.floor(((event.clientX - box.left) / box.width) * width);
  const y = Math.floor(((event.clientY - box.top) / box.height) * height);
  return x >= 0 && y >= 0 && x < width && y < height ? y * width + x : null;
}

canvas.addEventListener("pointerdown", (event) => {
  const entry = shown && under(event);
  if (entry === null || shown.busy || event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  remember();
  paintLine(entry, entry);
  painting = entry;
  draw();
  told(entry);
  send();
});

canvas.addEventListener("pointermove", (event) => {
  const entry = shown && under(event);
  if (entry === null || entry === undefined) return;
  if (painting !== null && entry !== painting) {
    paintLine(painting, entry);
    painting = entry;
    draw();
    send();
  }
  told(entry);
});

for (const end of ["pointerup", "pointercancel"])
  canvas.addEventListener(end, () => {
    painting = null;
  });

canvas.addEventListener("keydown", (event) => {
  if (!shown || !isImage()) return;
  const [, height, width] = shown.shape;
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key in moves) {
    const [dx, dy] = moves[event.key];
    const x = Math.min(Math.max((cursor % width) + dx, 0), width - 1);
    const y = Math.min(Math.max(Math.floor(cursor / width) + dy, 0), height - 1);
    cursor = y * width + x;
  } else if (event.key === " " && !shown.busy) {
    remember();
    paint(cursor);
    send();
  } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
    undo();
  } else return;
  event.preventDefault();
  draw();
  told(cursor);
});

for (const moment of ["focus", "blur"]) canvas.addEventListener(moment, () => shown && draw());

function swatch() {
  find(".sc-swatch").style.background = css([Number(find(".sc-value").value) / 255]);
}
find(".sc-value").addEventListener("input", swatch);
swatch();

// Rows of tables

function buildCells() {
  const cells = find(".sc-cells");
  cells.replaceChildren();
  shown.names.forEach((name, entry) => {
    const label = document.createElement("label");
    const words = document.createElement("span");
    words.textContent = name;
    const range = document.createElement("small");
    range.textContent = shown.ranges[entry];
    const input = document.createElement("input");
    input.type = "number";
    input.step = "any";
    input.disabled = shown.locked.includes(entry);
    if (input.disabled) range.textContent = "protected";
    input.addEventListener("change", () => {
      if (shown.busy) return draw();
      remember();
      put(entry, [input.value === "" ? null : Number(input.value)]);
      draw();
      send();
    });
    label.append(words, input, range);
    cells.append(label);
  });
}

function drawCells() {
  [...find(".sc-cells").children].forEach((label, entry) => {
    const value = current(entry)[0];
    label.querySelector("input").value = value === null ? "" : value;
    label.classList.toggle("sc-edited", isChanged(entry));
  });
}

// From Python

function take() {
  const before = shown;
  if (!props.shown || props.shown.number === undefined) return;
  shown = props.shown;
  find(".sc-image").hidden = !isImage();
  find(".sc-table").hidden = isImage();
  const made = new Map(shown.changes.map(([entry, ...values]) => [entry, values]));
  if (!before || before.number !== shown.number) {
    history = [];
    changes = made;
    if (isImage()) {
      const [channels, height, width] = shown.shape;
      canvas.width = width * cell();
      canvas.height = height * cell();
      canvas.style.aspectRatio = `${width} / ${height}`;
      find(".sc-grey").hidden = channels !== 1;
      find(".sc-rgb").hidden = channels === 1;
      cursor = Math.floor(height / 2) * width + Math.floor(width / 2);
      readout.textContent = `${height} × ${width} pixels`;
    } else buildCells();
  } else {
    if (shown.busy && !before.busy) remember(); // so that an attack can be undone
    changes = made;
  }
  element.classList.toggle("sc-busy", shown.busy);
  canvas.dataset.number = shown.number;
  draw();
}

for (const button of element.querySelectorAll(".sc-undo")) button.addEventListener("click", undo);
for (const button of element.querySelectorAll(".sc-reset")) button.addEventListener("click", reset);
watch("shown", take);
take();
