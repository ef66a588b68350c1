// Behaviours of the panel. Every page works without them; each only makes a page nicer to use.
// Most listen on the document, so parts that come later have them too; `onParts` of dom.js does the rest.
// No text for people stands in these files: it comes from data attributes and from the page.

import { all, enhance, page } from "./dom.js";
import { liveChecks } from "./checks.js";
import { editors } from "./editors.js";
import { drops, uploads } from "./files.js";
import { conditions, onceOnly, showDirty, unsaved } from "./forms.js";
import { keyboard } from "./keyboard.js";
import { rows, selection } from "./lists.js";
import { countdowns } from "./live.js";
import { confirms, dialogs, menus } from "./menus.js";
import { back, copying, faults, submitOnChange, themes } from "./page.js";
import { picks } from "./picks.js";

page.classList.add("js");
[menus, dialogs, confirms, copying, themes, submitOnChange, faults, back, keyboard, rows, selection,
  conditions, liveChecks, editors, picks, drops, uploads, countdowns, unsaved, onceOnly].forEach((behaviour) => behaviour());
enhance(document);
all("form[data-dirty]").forEach(showDirty);
