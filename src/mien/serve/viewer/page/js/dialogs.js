/** Questions to the user, and the list of keys. */

const $ = (id) => document.getElementById(id);

/**
 * Asks for a choice, a text or a confirmation.
 *
 * @param {{title: string, text?: string, yes: string, choice?: {name: string, options: [string, string][],
 *   value?: string}, input?: {name: string, value: string}}} question
 * @returns {Promise<{choice: string, input: string}|null>} null if the user cancels
 */
export function ask({ title, text = "", yes, choice, input }) {
  const dialog = $("ask");
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-yes").textContent = yes;
  $("ask-choice-label").hidden = !choice;
  $("ask-input-label").hidden = !input;
  if (choice) {
    $("ask-choice-name").textContent = choice.name;
    $("ask-choice").replaceChildren(...choice.options.map(([value, label]) => new Option(label, value)));
    if (choice.value !== undefined) $("ask-choice").value = choice.value;
  }
  if (input) {
    $("ask-input-name").textContent = input.name;
    $("ask-input").value = input.value;
  }
  return new Promise((resolve) => {
    const done = (answer) => {
      dialog.onclose = dialog.onkeydown = null;
      dialog.close();
      resolve(answer);
    };
    const accept = () => done({ choice: $("ask-choice").value, input: $("ask-input").value });
    $("ask-yes").onclick = accept;
    $("ask-no").onclick = () => done(null);
    dialog.onclose = () => done(null);
    dialog.onkeydown = (event) => {
      if (event.key !== "Enter" || event.target === $("ask-no")) return;
      event.preventDefault();
      accept();
    };
    dialog.showModal();
    if (input) $("ask-input").select();
    (choice ? $("ask-choice") : input ? $("ask-input") : $("ask-yes")).focus();
  });
}

/** Shows all keys, in groups: [title, [[keys, meaning]...]]. */
export function showKeys(groups) {
  const lists = groups.map(([title, rows]) => {
    const section = document.createElement("section");
    const heading = document.createElement("h3");
    heading.textContent = title;
    const list = document.createElement("dl");
    for (const [keys, meaning] of rows) {
      const term = document.createElement("dt");
      keys.forEach((key, i) => {
        const element = document.createElement("kbd");
        element.textContent = key;
        term.append(...(i ? [" "] : []), element);
      });
      const description = document.createElement("dd");
      description.textContent = meaning;
      list.append(term, description);
    }
    section.append(heading, list);
    return section;
  });
  $("key-lists").replaceChildren(...lists);
  $("keys-close").onclick = () => $("keys").close();
  $("keys").showModal();
}
