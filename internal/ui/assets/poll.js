// poll asks again and again while that is of use: not while the tab is hidden, more rarely while nothing changes or the
// server fails, and no more once the view is left, what it shows has ended, or nobody has touched the page for two hours.

const idleLimit = 2 * 60 * 60 * 1000; // milliseconds
let touched = Date.now();
for (const event of ["pointerdown", "keydown", "wheel"]) {
  addEventListener(event, () => { touched = Date.now(); }, { passive: true, capture: true });
}

// look(signal) shows what is new and returns whether something changed, or "end". failed(error) tells that a look failed, and
// idle() that looks have stopped because nobody is there. The first look is made at once. What is returned looks now.
export function poll(look, { signal, least = 2000, most = 20_000, failed = () => {}, idle = () => {} }) {
  let wait = least;
  let timer = null;
  let running = false;
  let over = false;

  const end = () => {
    over = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
  const later = () => {
    clearTimeout(timer);
    if (!over && !document.hidden) timer = setTimeout(once, wait * (0.9 + Math.random() * 0.2));
  };
  const once = async () => {
    if (over || running || document.hidden) return;
    if (Date.now() - touched > idleLimit) {
      idle();
      return;
    }
    running = true;
    try {
      const news = await look(signal);
      if (news === "end") end();
      wait = news ? least : Math.min(wait * 1.5, most);
    } catch (error) {
      if (signal.aborted) return;
      wait = Math.min(Math.max(wait * 2, (error.again ?? 0) * 1000), Math.max(60_000, most));
      failed(error);
    } finally {
      running = false;
    }
    later();
  };
  const seen = () => {
    if (document.hidden) clearTimeout(timer);
    else once();
  };
  document.addEventListener("visibilitychange", seen);
  signal.addEventListener("abort", end, { once: true });
  once();
  return () => {
    wait = least;
    touched = Date.now();
    clearTimeout(timer);
    return once();
  };
}
