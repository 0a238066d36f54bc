'use strict';
(() => {
  const byId = (id) => document.getElementById(id);
  const svg = document.querySelector('svg.call');
  const left = Number(svg.dataset.left);
  const inner = Number(svg.dataset.inner);
  const length = Number(svg.dataset.length);
  const rows = [...svg.querySelectorAll('.row')].map((g) => ({
    from: Number(g.dataset.from), to: Number(g.dataset.to), top: Number(g.dataset.top), bottom: Number(g.dataset.bottom),
  }));
  const cursor = byId('cursor');
  const time = byId('time');
  const audio = byId('audio');
  let still = 0; // where the cursor stands when there is nothing to play

  const now = () => (audio ? audio.currentTime * 1000 : still);
  const clock = (ms) => {
    const s = Math.floor(ms / 1000);
    return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}.${String(Math.floor(ms) % 1000).padStart(3, '0')}`;
  };

  function show() {
    const ms = Math.min(now(), length);
    const row = rows.find((r) => ms < r.to) || rows[rows.length - 1];
    const x = left + ((ms - row.from) / (row.to - row.from)) * inner;
    for (const [name, value] of [['x1', x], ['x2', x], ['y1', row.top], ['y2', row.bottom]]) cursor.setAttribute(name, value);
    time.textContent = clock(ms);
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
    if (event.key === 'ArrowLeft') seek(now() - 1000);
    else if (event.key === 'ArrowRight') seek(now() + 1000);
    else if (event.key === ' ' && audio && !event.target.closest('button')) toggle();
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
  }
  show();
})();
