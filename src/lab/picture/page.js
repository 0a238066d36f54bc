'use strict';
(() => {
  const byId = (id) => document.getElementById(id);
  const svg = document.querySelector('svg.call');
  const left = Number(svg.dataset.left);
  const inner = Number(svg.dataset.inner);
  const length = Number(svg.dataset.length);
  const fine = 'fine' in svg.dataset; // a clip of seconds rather than a call of minutes
  const rows = [...svg.querySelectorAll('.row')].map((g) => ({
    g, from: Number(g.dataset.from), to: Number(g.dataset.to), top: Number(g.dataset.top), bottom: Number(g.dataset.bottom),
  }));
  const lines = [...document.querySelectorAll('.lines button')].map((b) => ({
    li: b.parentElement, at: Number(b.dataset.at), end: Number(b.dataset.end),
  }));
  const cursor = byId('cursor');
  const time = byId('time');
  const audio = byId('audio');
  let still = 0; // where the cursor stands when there is nothing to play
  let lastRow = null;

  const now = () => (audio ? audio.currentTime * 1000 : still);
  const clock = (ms) => {
    const s = Math.floor(ms / 1000);
    const part = fine ? String(Math.floor(ms) % 1000).padStart(3, '0') : Math.floor(ms / 100) % 10;
    return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}.${part}`;
  };

  function show() {
    const ms = Math.min(now(), length);
    const row = rows.find((r) => ms < r.to) || rows[rows.length - 1];
    const x = left + ((ms - row.from) / (row.to - row.from)) * inner;
    cursor.setAttribute('x1', x);
    cursor.setAttribute('x2', x);
    cursor.setAttribute('y1', row.top);
    cursor.setAttribute('y2', row.bottom);
    time.textContent = clock(ms);
    for (const line of lines) line.li.classList.toggle('now', ms >= line.at && ms < line.end);
    if (row !== lastRow) {
      if (lastRow && audio && !audio.paused) follow(row);
      lastRow = row;
    }
  }

  // Keeps the row that is playing in sight, but only for who was looking at the row before it.
  function follow(row) {
    const before = lastRow.g.getBoundingClientRect();
    if (before.bottom < 0 || before.top > innerHeight) return;
    const box = row.g.getBoundingClientRect();
    if (box.bottom > innerHeight) scrollBy({ top: box.bottom - innerHeight + 24, behavior: 'smooth' });
  }

  function seek(ms) {
    still = Math.max(0, Math.min(ms, length));
    if (audio) audio.currentTime = still / 1000;
    show();
  }

  svg.addEventListener('click', (event) => {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const x = (event.clientX - box.left) * scale;
    const y = (event.clientY - box.top) * scale;
    const row = rows.find((r) => y >= r.top - 17 && y < r.bottom + 17);
    if (row && x >= left - 4) seek(row.from + ((x - left) / inner) * (row.to - row.from));
  });
  document.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-at]');
    if (button) seek(Number(button.dataset.at));
  });

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = (event.shiftKey ? 10000 : 2000) / (fine ? 2 : 1);
    if (event.key === 'ArrowLeft') seek(now() - step);
    else if (event.key === 'ArrowRight') seek(now() + step);
    else if (event.key === ' ' && audio && !event.target.closest('button, summary')) toggle();
    else return;
    event.preventDefault();
  });

  function toggle() {
    if (audio.paused) audio.play(); else audio.pause();
  }

  if (audio) {
    const play = byId('play');
    const frame = () => { show(); if (!audio.paused) requestAnimationFrame(frame); };
    play.addEventListener('click', toggle);
    audio.addEventListener('play', () => { play.textContent = 'Pause'; frame(); });
    audio.addEventListener('pause', () => { play.textContent = 'Play'; show(); });
    audio.addEventListener('seeked', show);

    const rates = [1, 1.5, 2, 0.5];
    byId('rate').addEventListener('click', (event) => {
      audio.playbackRate = rates[(rates.indexOf(audio.playbackRate) + 1) % rates.length];
      event.target.textContent = `${audio.playbackRate}×`;
    });

    // One gain per side, made at the first use of a side's button; both sides are then heard in both ears.
    let gains = null;
    const sides = ['caller', 'agent'];
    function split() {
      const context = new AudioContext();
      const splitter = context.createChannelSplitter(2);
      context.createMediaElementSource(audio).connect(splitter);
      gains = sides.map((_, i) => {
        const gain = context.createGain();
        splitter.connect(gain, i);
        gain.connect(context.destination);
        return gain;
      });
      context.resume();
    }
    sides.forEach((side, i) => byId(side).addEventListener('click', (event) => {
      if (!gains) split();
      const on = event.target.getAttribute('aria-pressed') !== 'true';
      event.target.setAttribute('aria-pressed', on);
      gains[i].gain.value = on ? 1 : 0;
    }));
  }
  show();
})();
