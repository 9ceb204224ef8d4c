// Keeps a cabinet's screen live for years: asks for its state, says so when nothing responds, and reloads the page
// when it has changed. It speaks each of its languages in turn. Without a known state no code is shown, so that nobody pays for a machine in doubt.
"use strict";
(() => {
  const main = document.querySelector("[data-state-url]");
  const EVERY_MS = 4000, ANSWER_MS = 4000, LOST_AFTER = 2, DAY_MS = 86400000;
  const loaded = Date.now();
  const languages = main.dataset.languages.split(" "), LOOKS_EACH = 2;
  let failures = 0, looks = 0;

  const show = (state, title, detail) => {
    main.dataset.state = state;
    for (const [name, text] of [["title", title], ["detail", detail]]) {
      const element = main.querySelector(`[data-field="${name}"]`);
      if (element.textContent !== text) element.textContent = text;
    }
  };
  // Who reads another language waits for it, so nothing stays for longer than it takes to read.
  const speak = (code, tag) => {
    main.dataset.inTurn = code;
    document.documentElement.lang = tag;
    for (const text of main.querySelectorAll("[data-in]")) text.hidden = text.dataset.in !== code;
  };
  const showEmblems = (emblems) => {
    const key = emblems.map(({ colour, shape }) => `${colour}-${shape}`).join();
    const spoken = main.querySelectorAll(".same li b");
    if (main.dataset.emblems === key) return emblems.forEach(({ words }, n) => { spoken[n].textContent = words; });
    main.dataset.emblems = key;
    main.querySelector(".same ul").replaceChildren(...emblems.map(({ colour, shape, words }) => {
      const shown = main.querySelector(`template[data-shape="${shape}"]`).content.firstElementChild.cloneNode(true);
      shown.querySelector("svg").classList.add(colour);
      shown.querySelector("b").textContent = words;
      return shown;
    }));
  };
  const look = async () => {
    const stop = new AbortController();
    const code = languages[Math.floor((looks += 1) / LOOKS_EACH) % languages.length];
    const late = setTimeout(() => stop.abort(), ANSWER_MS);
    try {
      const answer = await fetch(`${main.dataset.stateUrl}&lang=${code}`, { cache: "no-store", signal: stop.signal });
      if (!answer.ok) throw new Error(String(answer.status));
      const state = await answer.json();
      failures = 0;
      if (state.page !== main.dataset.page || Date.now() - loaded > DAY_MS) return location.reload();
      speak(code, state.language);
      show(state.state, state.title, state.detail);
      showEmblems(state.emblems);
    } catch {
      failures += 1;
      if (failures >= LOST_AFTER) {
        const lost = main.querySelector(`[data-lost="${code}"]`);
        speak(code, lost.lang);
        show("offline", lost.querySelector("b").textContent, lost.querySelector("span").textContent);
        showEmblems([]);
      }
    } finally {
      clearTimeout(late);
    }
  };
  const again = () => look().finally(() => setTimeout(again, EVERY_MS));
  setTimeout(again, EVERY_MS);
})();
