// Keeps a player's page live: asks for its state often at first, then less often, and stops after half an hour.
"use strict";
(() => {
  const main = document.querySelector("[data-state-url]");
  if (!main) return;
  const isOrder = main.dataset.live === "order";
  // [how many times, milliseconds between]
  const PACE = isOrder ? [[60, 1000], [80, 3000], [100, 15000]] : [[60, 5000], [100, 15000]];
  const ANSWER_MS = 10000;
  const stale = main.querySelector("[data-stale]");
  const site = document.title.slice(document.title.lastIndexOf(" · "));
  let asked = 0, timer = 0, asking = false, failures = 0, done = false, leaving = false;

  const emblem = main.querySelector("[data-gone-in]");
  const gone = emblem ? Date.now() + Number(emblem.dataset.goneIn) : 0;
  const forget = () => { if (emblem && Date.now() >= gone) emblem.hidden = true; };
  setTimeout(forget, emblem ? Number(emblem.dataset.goneIn) : 0);

  const field = (name, text) => {
    const element = main.querySelector(`[data-field="${name}"]`);
    if (element && element.textContent !== text) element.textContent = text;
  };
  const note = (text) => {
    stale.hidden = !text;
    if (stale.textContent !== text) stale.textContent = text;
  };

  const showOrder = (state) => {
    main.dataset.phase = state.phase;
    for (const name of ["title", "detail", "money"]) field(name, state[name]);
    const progress = main.querySelector("[data-progress]");
    progress.max = state.credits;
    progress.value = state.delivered;
    main.querySelector("[data-ask]").hidden = !state.ask;
    const claim = main.querySelector("[data-claim]");
    if (claim) claim.hidden = !state.claimable;
    document.title = state.title + site;
    done = state.final;
  };
  const showMachine = (state) => {
    const ready = state.ready ? "yes" : "no", prices = main.querySelector("[data-prices]");
    if (prices && ready !== main.dataset.ready) prices.open = state.ready;
    main.dataset.ready = ready;
    field("word", state.word);
    if (leaving) return;
    for (const button of main.querySelectorAll("button[data-credits]")) {
      button.disabled = !state.ready || "unsold" in button.dataset || Number(button.dataset.credits) > state.maxCredits;
    }
  };

  const pause = () => {
    let before = 0;
    for (const [times, ms] of PACE) {
      before += times;
      if (asked < before) return ms;
    }
    return 0;
  };
  const next = () => {
    clearTimeout(timer);
    if (done || document.hidden) return;
    const ms = pause();
    if (ms) timer = setTimeout(ask, ms);
    else note("This page has stopped updating. Reload it to see the latest.");
  };
  const ask = async () => {
    if (asking || done) return;
    asking = true;
    asked += 1;
    const stop = new AbortController();
    const late = setTimeout(() => stop.abort(), ANSWER_MS);
    try {
      const answer = await fetch(main.dataset.stateUrl, { cache: "no-store", signal: stop.signal });
      if (!answer.ok) throw new Error(String(answer.status));
      const state = await answer.json();
      (isOrder ? showOrder : showMachine)(state);
      failures = 0;
      note("");
    } catch {
      failures += 1;
      if (failures >= 3) note("No connection at the moment. Still trying.");
    } finally {
      clearTimeout(late);
      asking = false;
      next();
    }
  };
  const again = () => {
    forget();
    asked = 0;
    ask();
  };

  document.addEventListener("visibilitychange", () => { if (!document.hidden) again(); });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    leaving = false;
    again();
  });
  main.addEventListener("submit", () => {
    leaving = true; // one tap, one checkout
    setTimeout(() => { for (const button of main.querySelectorAll("button")) button.disabled = true; });
    setTimeout(() => { leaving = false; }, 15000);
  });
  next();
})();
