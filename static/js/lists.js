// Rows and the boxes before them.

import { all, find, number, on, onParts } from "./dom.js";

// A synthetic click keeps Ctrl: the browser then opens a new tab as for the link itself.
export function openRow(e, row) {
  const { ctrlKey, metaKey, shiftKey } = e;
  find("th[scope=row] a", row)?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, ctrlKey, metaKey, shiftKey }));
}

// The whole row is as good as its link, and the cell around a box as good as the box.
export function rows() {
  on("click", "table.list tbody tr:not(.group)", (e, row) => {
    if (e.defaultPrevented || e.target.closest("a, button, input, select, textarea, label, summary")) return;
    const box = e.target.closest("td.check") && find('td.check input[type="checkbox"]:enabled', row);
    if (box) box.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: e.shiftKey }));
    else if (getSelection().isCollapsed) openRow(e, row);
  });
}

const boxesOf = (root = document) => all('table.list td.check input[type="checkbox"]:enabled', root);
const everyBox = '.selbar input[type="checkbox"][name="all"]';

// Head box, ranges and the bar follow the boxes; the boxes alone are what is sent.
export function selection() {
  let last = null;
  on("click", 'table.list td.check input[type="checkbox"]', (e, box) => {
    const boxes = boxesOf(box.closest("table")).filter((one) => one.getClientRects().length);
    const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
    if (e.shiftKey && from >= 0) {
      boxes.slice(from, to + 1).forEach((one) => { one.checked = box.checked; });
      getSelection().removeAllRanges();
    }
    last = box;
  });
  on("change", 'table.list td.check input[type="checkbox"]', (e, box) => {
    if (!box.checked) all(everyBox).forEach((every) => { every.checked = false; });
    showSelection();
  });
  on("change", "input[data-check-all]", (e, head) => {
    boxesOf(head.closest("table")).forEach((box) => { box.checked = head.checked; });
    if (!head.checked) all(everyBox).forEach((every) => { every.checked = false; });
    showSelection();
  });
  on("change", everyBox, (e, every) => {
    if (every.checked) boxesOf().forEach((box) => { box.checked = true; });
    showSelection();
  });
  on("click", "[data-clear-selection]", (e) => {
    e.preventDefault();
    [...boxesOf(), ...all(everyBox)].forEach((box) => { box.checked = false; });
    showSelection();
  });
  window.addEventListener("pageshow", showSelection);
}

function showSelection() {
  all("table.list").forEach((table) => {
    const boxes = boxesOf(table);
    const ticked = boxes.filter((box) => box.checked);
    boxes.forEach((box) => box.checked ? box.closest("tr").setAttribute("aria-selected", "true") : box.closest("tr").removeAttribute("aria-selected"));
    all("input[data-check-all]", table).forEach((head) => {
      head.checked = boxes.length > 0 && ticked.length === boxes.length;
      head.indeterminate = ticked.length > 0 && ticked.length < boxes.length;
    });
  });
  const count = boxesOf().filter((box) => box.checked).length;
  all("[data-selected]").forEach((text) => {
    const every = find(everyBox)?.checked && text.dataset.all;
    text.textContent = every || (count === 1 ? text.dataset.one : text.dataset.other).replace("{0}", number(count));
  });
}

onParts(null, showSelection);
