// Keeps a cabinet's screen live for years: asks for its state, says so when nothing responds, and reloads the page
// when it has changed. Without a known state no code is shown, so that nobody pays for a machine in doubt.
"use strict";
(() => {
  const main = document.querySelector("[data-state-url]");
  const EVERY_MS = 4000, ANSWER_MS = 4000, LOST_AFTER = 2, DAY_MS = 86400000;
  const loaded = Date.now();
  let failures = 0;

  const show = (state, title, detail) => {
    main.dataset.state = state;
    for (const [name, text] of [["title", title], ["detail", detail]]) {
      const element = main.querySelector(`[data-field="${name}"]`);
      if (element.textContent !== text) element.textContent = text;
    }
  };
  const showEmblems = (emblems) => {
    const words = emblems.map((emblem) => emblem.words).join();
    if (main.dataset.emblems === words) return;
    main.dataset.emblems = words;
    main.querySelector(".same ul").replaceChildren(...emblems.map(({ colour, shape, words }) => {
      const shown = main.querySelector(`template[data-shape="${shape}"]`).content.firstElementChild.cloneNode(true);
      shown.querySelector("svg").classList.add(colour);
      shown.querySelector("b").textContent = words;
      return shown;
    }));
  };
  const look = async () => {
    const stop = new AbortController();
    const late = setTimeout(() => stop.abort(), ANSWER_MS);
    try {
      const answer = await fetch(main.dataset.stateUrl, { cache: "no-store", signal: stop.signal });
      if (!answer.ok) throw new Error(String(answer.status));
      const state = await answer.json();
      failures = 0;
      if (state.page !== main.dataset.page || Date.now() - loaded > DAY_MS) return location.reload();
      show(state.state, state.title, state.detail);
      showEmblems(state.emblems);
    } catch {
      failures += 1;
      if (failures >= LOST_AFTER) {
        show("offline", "No connection", "Phone payments resume automatically.");
        showEmblems([]);
      }
    } finally {
      clearTimeout(late);
    }
  };
  const again = () => look().finally(() => setTimeout(again, EVERY_MS));
  setTimeout(again, EVERY_MS);
})();
