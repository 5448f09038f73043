// Numbers that move: every two seconds the page is fetched again, and its live parts are put in place of the old ones.
// Without this script everything else works as well.
const PAUSE = 2000;

async function refresh() {
  const live = [...document.querySelectorAll("[data-live]")];
  if (live.length && !document.hidden) {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      // A job that has ended has more to show than its parts; who is signed out, or whose page is away, is to see that.
      const ended = live.some((part) => part.id === "job") && !fresh.querySelector("#job[data-live]");
      if (ended || !answer.ok) {
        location.reload();
        return;
      }
      for (const part of live) {
        const found = fresh.getElementById(part.id);
        // Whoever is about to press something keeps what is under the finger.
        if (found && found.outerHTML !== part.outerHTML && !part.contains(document.activeElement)) {
          part.replaceWith(found);
        }
      }
    } catch {
      // The service is away for a moment; the next round asks again.
    }
  }
  setTimeout(refresh, PAUSE);
}

setTimeout(refresh, PAUSE);
