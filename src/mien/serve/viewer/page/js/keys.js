/** What each key does, and the list of them. */

import { showKeys } from "./dialogs.js";

/** Title, then rows: the keys as the list shows them, what they do, and for the keyboard: key to action. */
function groupsOf(viewer) {
  return [
    [
      "Time",
      [
        [["Space"], "play or pause", { " ": () => viewer.playOrPause() }],
        [["←", "→"], "one frame", { ArrowLeft: () => viewer.step(-1), ArrowRight: () => viewer.step(1) }],
        [
          ["Shift+←", "Shift+→"],
          "one second",
          { "Shift+ArrowLeft": () => viewer.skip(-1), "Shift+ArrowRight": () => viewer.skip(1) },
        ],
        [["PageUp", "PageDown"], "ten seconds", { PageUp: () => viewer.skip(-10), PageDown: () => viewer.skip(10) }],
        [["Home", "End"], "beginning, end", { Home: () => viewer.goToEdge(-1), End: () => viewer.goToEdge(1) }],
        [["[", "]"], "slower, faster", { "[": () => viewer.changeRate(-1), "]": () => viewer.changeRate(1) }],
        [["+", "-", "0"], "zoom in, out, whole clip", { "+": () => viewer.zoom(0.5), "=": () => viewer.zoom(0.5), "-": () => viewer.zoom(2), 0: () => viewer.zoom(null) }],
      ],
    ],
    [
      "Go to",
      [
        [["N", "Shift+N"], "next event, event before", { n: () => viewer.jump("events", 1), "Shift+N": () => viewer.jump("events", -1) }],
        [["U", "Shift+U"], "next uncertain stretch, the one before", { u: () => viewer.jump("uncertain", 1), "Shift+U": () => viewer.jump("uncertain", -1) }],
        [["↑", "↓"], "person above, below", { ArrowUp: () => viewer.selectNext(-1), ArrowDown: () => viewer.selectNext(1) }],
        [["F"], "first frame of the person", { f: () => viewer.goToPerson() }],
      ],
    ],
    [
      "Stretch",
      [
        [["I"], "begins at this frame", { i: () => viewer.setStretch("fromS") }],
        [["O"], "ends behind this frame", { o: () => viewer.setStretch("toS") }],
        [["Esc"], "no stretch", { Escape: () => viewer.clearStretch() }],
      ],
    ],
    [
      "Correct the selected person",
      [
        [["M"], "merge into another person", { m: () => viewer.merge() }],
        [["T"], "split: from this frame on, somebody else", { t: () => viewer.split() }],
        [["R"], "name", { r: () => viewer.rename() }],
        [["E"], "set the emotion in the stretch", { e: () => viewer.mark() }],
        [["X"], "exclude the stretch", { x: () => viewer.exclude(false) }],
        [["Shift+X"], "exclude the stretch for all", { "Shift+X": () => viewer.exclude(true) }],
      ],
    ],
    [
      "Corrections",
      [
        [["Ctrl+Z"], "undo", { "Ctrl+z": () => viewer.undo() }],
        [["Ctrl+Shift+Z", "Ctrl+Y"], "redo", { "Ctrl+Shift+Z": () => viewer.redo(), "Ctrl+y": () => viewer.redo() }],
        [["Ctrl+S"], "write all tables again", { "Ctrl+s": () => viewer.save() }],
        [["?"], "this list", { "?": () => help(viewer) }],
      ],
    ],
  ];
}

function help(viewer) {
  showKeys(groupsOf(viewer).map(([title, rows]) => [title, rows.map(([keys, meaning]) => [keys, meaning])]));
}

/** Connects keys and buttons with the viewer. */
export function bindKeys(viewer) {
  const actions = Object.assign({}, ...groupsOf(viewer).flatMap(([, rows]) => rows.map((row) => row[2])));
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    if (event.target.closest("select, input")) return;
    if (event.key === " " && event.target.closest("button")) return; // it presses the button
    const action = actions[nameOf(event)];
    if (!action) return;
    event.preventDefault();
    viewer.run(action);
  });
  const buttons = {
    back: () => viewer.step(-1),
    play: () => viewer.playOrPause(),
    forward: () => viewer.step(1),
    event: () => viewer.jump("events", 1),
    "event-back": () => viewer.jump("events", -1),
    uncertain: () => viewer.jump("uncertain", 1),
    "uncertain-back": () => viewer.jump("uncertain", -1),
    "zoom-in": () => viewer.zoom(0.5),
    "zoom-out": () => viewer.zoom(2),
    "zoom-all": () => viewer.zoom(null),
    merge: () => viewer.merge(),
    split: () => viewer.split(),
    rename: () => viewer.rename(),
    mark: () => viewer.mark(),
    exclude: () => viewer.exclude(false),
    "exclude-all": () => viewer.exclude(true),
    undo: () => viewer.undo(),
    redo: () => viewer.redo(),
    save: () => viewer.save(),
    help: () => help(viewer),
  };
  for (const [id, action] of Object.entries(buttons)) {
    const button = document.getElementById(id);
    button.addEventListener("click", (event) => {
      if (event.detail) button.blur(); // after a click, Space plays again
      viewer.run(action);
    });
  }
}

/** A key press as "Ctrl+Shift+Z"; Shift is named for letters and for keys without a character. */
function nameOf(event) {
  const ctrl = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  if (event.altKey) return "";
  const letter = /^[a-z]$/i.test(event.key);
  const shift = event.shiftKey && (letter || event.key.length > 1) ? "Shift+" : "";
  const key = letter ? (shift ? event.key.toUpperCase() : event.key.toLowerCase()) : event.key;
  return ctrl + shift + key;
}
