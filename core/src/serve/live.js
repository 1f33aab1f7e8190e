'use strict';
// Puts the newest state of the experiment in place whenever the server says that something has changed.
const live = document.getElementById('live');
if (live) {
  const name = encodeURIComponent(live.dataset.experiment);
  const refresh = async () => {
    const answer = await fetch('/experiments/' + name + '/live');
    if (answer.ok) live.innerHTML = await answer.text();
  };
  // The browser listens again by itself when a stream has come to its end.
  new EventSource('/events?experiment=' + name).addEventListener('change', refresh);
}
