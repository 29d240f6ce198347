/** Events: times in which an emotion of a face stays strong, as mien.video.study.tables finds them. */

const GAP_S = 0.5; // an event goes on over this long without the face
const STEPS = 1.5; // or from frame to frame, if they are further apart than that

/**
 * An event begins where an emotion reaches the threshold, and ends where it falls below that less the hysteresis.
 *
 * @param {{timeS: number, faces: import("./api.js").Face[]}[]} frames by time
 * @param {{threshold?: number, hysteresis?: number}} options
 * @returns {{id: number, emotion: string, onsetS: number, offsetS: number, peak: number, peakS: number,
 *   onsetCensored: boolean, offsetCensored: boolean}[]} by onset; censored: the face appeared or vanished there,
 *   so that the true time is not known
 */
export function findEvents(frames, { threshold = 0.5, hysteresis = 0.1 } = {}) {
  const steps = frames.slice(1).map(({ timeS }, i) => timeS - frames[i].timeS);
  const step = steps.length ? [...steps].sort((a, b) => a - b)[steps.length >> 1] : 0;
  const gap = Math.max(GAP_S, STEPS * step + 1e-9);
  const open = new Map(); // id -> Map of emotion -> event
  const seen = new Map(); // id -> time
  const done = [];
  const censor = (id) => {
    for (const event of open.get(id)?.values() ?? []) done.push({ ...event, offsetCensored: true });
    open.delete(id);
  };
  frames.forEach(({ timeS, faces }, i) => {
    const seconds = steps[i] === undefined || steps[i] > gap ? step : steps[i];
    for (const { id, emotions } of faces) {
      const appears = !seen.has(id) || timeS - seen.get(id) > gap;
      if (appears) censor(id);
      if (!open.has(id)) open.set(id, new Map());
      advance(open.get(id), done, { id, emotions, timeS, seconds, appears, on: threshold, off: threshold - hysteresis });
      seen.set(id, timeS);
    }
  });
  for (const id of [...open.keys()]) censor(id);
  return done.sort((a, b) => a.onsetS - b.onsetS || a.id - b.id || (a.emotion < b.emotion ? -1 : 1));
}

/** Takes one frame of one face: ends, continues and begins its events. */
function advance(running, done, { id, emotions, timeS, seconds, appears, on, off }) {
  for (const [emotion, value] of Object.entries(emotions)) {
    const event = running.get(emotion);
    if (event && value < off) {
      done.push({ ...event, offsetS: timeS });
      running.delete(emotion);
    } else if (event) {
      event.offsetS = timeS + seconds;
      if (value > event.peak) Object.assign(event, { peak: value, peakS: timeS });
    } else if (value >= on) {
      const ends = { onsetS: timeS, offsetS: timeS + seconds, onsetCensored: appears, offsetCensored: false };
      running.set(emotion, { id, emotion, ...ends, peak: value, peakS: timeS });
    }
  }
}
