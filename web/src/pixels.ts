/**
 * Pixels, resized as Pillow resizes them, value by value: the models see the pixels that they see in Python.
 *
 * Source: Pillow's Resample.c, Reduce.c, Geometry.c and Convert.c.
 */

/** An image of bytes, row by row; `channels` is 1 (gray) or 3 (RGB). */
export interface Pixels {
  width: number;
  height: number;
  channels: number;
  data: Uint8Array;
}

export type Box = [left: number, top: number, right: number, bottom: number];

interface Filter {
  support: number;
  weight: (x: number) => number;
}

export const BILINEAR: Filter = { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) };

/** The mean of the pixels that a result covers. */
export const BOX: Filter = { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };

/** Keys 1981, with a = -0.5. */
export const BICUBIC: Filter = {
  support: 2,
  weight: (x) => {
    const d = Math.abs(x);
    if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
    return d < 2 ? (((d - 5) * d + 8) * d - 4) * -0.5 : 0;
  },
};

const PRECISION_BITS = 22;

export function blank(width: number, height: number, channels: number): Pixels {
  return { width, height, channels, data: new Uint8Array(width * height * channels) };
}

/** Rounds halves to the even neighbour, as Python's `round` does. */
export function roundHalfEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

/** RGB of RGBA bytes; what is transparent is laid on white. */
export function fromRgba(rgba: Uint8Array | Uint8ClampedArray, width: number, height: number): Pixels {
  const image = blank(width, height, 3);
  const { data } = image;
  for (let from = 0, to = 0; to < data.length; from += 4, to += 3) {
    const alpha = rgba[from + 3];
    if (alpha === 255) {
      data[to] = rgba[from];
      data[to + 1] = rgba[from + 1];
      data[to + 2] = rgba[from + 2];
    } else {
      for (let i = 0; i < 3; i++) data[to + i] = Math.round((rgba[from + i] * alpha + 255 * (255 - alpha)) / 255);
    }
  }
  return image;
}

/** Luma as ITU-R 601. */
export function gray(image: Pixels): Pixels {
  if (image.channels === 1) return image;
  const result = blank(image.width, image.height, 1);
  const { data } = image;
  for (let to = 0, from = 0; to < result.data.length; to++, from += 3) {
    result.data[to] = (data[from] * 19595 + data[from + 1] * 38470 + data[from + 2] * 7471 + 0x8000) >> 16;
  }
  return result;
}

/** A part of an image; outside it its edge is repeated. */
export function part(image: Pixels, x0: number, y0: number, x1: number, y1: number): Pixels {
  const { width, height, channels, data } = image;
  const result = blank(x1 - x0, y1 - y0, channels);
  let to = 0;
  for (let y = y0; y < y1; y++) {
    const row = Math.min(Math.max(y, 0), height - 1) * width;
    for (let x = x0; x < x1; x++) {
      const from = (row + Math.min(Math.max(x, 0), width - 1)) * channels;
      for (let c = 0; c < channels; c++) result.data[to++] = data[from + c];
    }
  }
  return result;
}

/** Puts an image into another, its corner at (x, y). */
export function paste(target: Pixels, image: Pixels, x: number, y: number): void {
  const bytes = image.width * image.channels;
  for (let row = 0; row < image.height; row++) {
    const line = image.data.subarray(row * bytes, (row + 1) * bytes);
    target.data.set(line, ((y + row) * target.width + x) * target.channels);
  }
}

/** Turned counterclockwise by quarter turns, as `numpy.rot90`. */
export function rotated(image: Pixels, turns: number): Pixels {
  const { width, height, channels, data } = image;
  const result = turns % 2 ? blank(height, width, channels) : blank(width, height, channels);
  let to = 0;
  for (let y = 0; y < result.height; y++) {
    for (let x = 0; x < result.width; x++) {
      const [fromX, fromY] =
        turns === 1
          ? [width - 1 - y, x]
          : turns === 2
            ? [width - 1 - x, height - 1 - y]
            : [y, height - 1 - x];
      const from = (fromY * width + fromX) * channels;
      for (let c = 0; c < channels; c++) result.data[to++] = data[from + c];
    }
  }
  return result;
}

interface Coefficients {
  size: number;
  starts: Int32Array;
  counts: Int32Array;
  weights: Int32Array;
}

function coefficients(inSize: number, in0: number, in1: number, outSize: number, filter: Filter): Coefficients {
  const scale = Math.fround(in1 - in0) / outSize;
  const filterScale = Math.max(scale, 1);
  const support = filter.support * filterScale;
  const size = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(outSize);
  const counts = new Int32Array(outSize);
  const weights = new Int32Array(outSize * size);
  const exact = new Float64Array(size);
  for (let i = 0; i < outSize; i++) {
    const centre = in0 + (i + 0.5) * scale;
    const start = Math.max(Math.trunc(centre - support + 0.5), 0);
    const count = Math.min(Math.trunc(centre + support + 0.5), inSize) - start;
    let total = 0;
    for (let x = 0; x < count; x++) {
      exact[x] = filter.weight((x + start - centre + 0.5) * (1 / filterScale));
      total += exact[x];
    }
    for (let x = 0; x < count; x++) {
      const share = (total !== 0 ? exact[x] / total : exact[x]) * (1 << PRECISION_BITS);
      weights[i * size + x] = Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    }
    starts[i] = start;
    counts[i] = count;
  }
  return { size, starts, counts, weights };
}

function clip8(sum: number): number {
  const value = sum >> PRECISION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

function resampleAcross(image: Pixels, { size, starts, counts, weights }: Coefficients, first: number, last: number) {
  const { width, channels, data } = image;
  const result = blank(starts.length, last - first, channels);
  const half = 1 << (PRECISION_BITS - 1);
  let to = 0;
  for (let y = first; y < last; y++) {
    for (let i = 0; i < starts.length; i++) {
      let at = (y * width + starts[i]) * channels;
      let k = i * size;
      const end = k + counts[i];
      let red = half;
      if (channels === 1) {
        for (; k < end; k++) red = (red + data[at++] * weights[k]) | 0;
        result.data[to++] = clip8(red);
        continue;
      }
      let green = half;
      let blue = half;
      for (; k < end; k++, at += 3) {
        const weight = weights[k];
        red = (red + data[at] * weight) | 0;
        green = (green + data[at + 1] * weight) | 0;
        blue = (blue + data[at + 2] * weight) | 0;
      }
      result.data[to] = clip8(red);
      result.data[to + 1] = clip8(green);
      result.data[to + 2] = clip8(blue);
      to += 3;
    }
  }
  return result;
}

function resampleDown(image: Pixels, { size, starts, counts, weights }: Coefficients, offset: number): Pixels {
  const line = image.width * image.channels;
  const result = blank(image.width, starts.length, image.channels);
  const sums = new Int32Array(line);
  for (let i = 0; i < starts.length; i++) {
    sums.fill(1 << (PRECISION_BITS - 1));
    for (let y = 0; y < counts[i]; y++) {
      const weight = weights[i * size + y];
      const from = (starts[i] - offset + y) * line;
      for (let x = 0; x < line; x++) sums[x] += image.data[from + x] * weight;
    }
    for (let x = 0; x < line; x++) result.data[i * line + x] = clip8(sums[x]);
  }
  return result;
}

/** Pillow's `Image.reduce`: blocks of (across, down) pixels averaged, the last ones smaller. */
export function reduce(image: Pixels, across: number, down: number, box?: Box): Pixels {
  const [x0, y0, x1, y1] = box ?? [0, 0, image.width, image.height];
  if (across === 1 && down === 1) return part(image, x0, y0, x1, y1);
  const { channels, data } = image;
  const result = blank(Math.ceil((x1 - x0) / across), Math.ceil((y1 - y0) / down), channels);
  let to = 0;
  for (let j = 0; j < result.height; j++) {
    const top = y0 + j * down;
    const bottom = Math.min(top + down, y1);
    for (let i = 0; i < result.width; i++) {
      const left = x0 + i * across;
      const right = Math.min(left + across, x1);
      const n = (right - left) * (bottom - top);
      const multiplier = Math.floor(2 ** 24 / n);
      for (let c = 0; c < channels; c++) {
        let sum = n >> 1;
        for (let y = top; y < bottom; y++) {
          for (let x = left, at = (y * image.width + left) * channels + c; x < right; x++, at += channels) {
            sum += data[at];
          }
        }
        result.data[to++] = Math.floor((sum * multiplier) / 2 ** 24);
      }
    }
  }
  return result;
}

/** Pillow's `Image.resize` with `box` and `reducing_gap`. */
export function resize(
  image: Pixels,
  width: number,
  height: number,
  filter: Filter,
  options: { box?: Box; reducingGap?: number } = {},
): Pixels {
  let box: Box = options.box ?? [0, 0, image.width, image.height];
  const whole = box[0] === 0 && box[1] === 0 && box[2] === image.width && box[3] === image.height;
  if (whole && width === image.width && height === image.height) return image;
  let source = image;
  if (options.reducingGap !== undefined) {
    const across = Math.trunc((box[2] - box[0]) / width / options.reducingGap) || 1;
    const down = Math.trunc((box[3] - box[1]) / height / options.reducingGap) || 1;
    if (across > 1 || down > 1) {
      const safe = safeBox(image, box, width, height, filter.support - 0.5);
      source = reduce(image, across, down, safe);
      box = [
        (box[0] - safe[0]) / across,
        (box[1] - safe[1]) / down,
        (box[2] - safe[0]) / across,
        (box[3] - safe[1]) / down,
      ];
    }
  }
  return resample(source, width, height, filter, box.map(Math.fround) as Box);
}

function safeBox(image: Pixels, box: Box, width: number, height: number, support: number): Box {
  const x = (support * (box[2] - box[0])) / width;
  const y = (support * (box[3] - box[1])) / height;
  return [
    Math.max(0, Math.trunc(box[0] - x)),
    Math.max(0, Math.trunc(box[1] - y)),
    Math.min(image.width, Math.ceil(box[2] + x)),
    Math.min(image.height, Math.ceil(box[3] + y)),
  ];
}

function resample(image: Pixels, width: number, height: number, filter: Filter, box: Box): Pixels {
  const across = width !== image.width || box[0] !== 0 || box[2] !== width;
  const down = height !== image.height || box[1] !== 0 || box[3] !== height;
  const columns = coefficients(image.width, box[0], box[2], width, filter);
  const rows = coefficients(image.height, box[1], box[3], height, filter);
  // Pillow 13's order of the passes: values are rounded between them, so the order shows in the result.
  const lost = image.height - height;
  if (down && across && lost > 0 && lost > 2 * (image.width - width)) {
    const [first, last] = span(columns);
    const narrow = part(image, first, 0, last, image.height);
    return resampleAcross(resampleDown(narrow, rows, 0), moved(columns, first), 0, height);
  }
  const [first, last] = down ? span(rows) : [0, image.height];
  const result = across ? resampleAcross(image, columns, first, last) : image;
  return down ? resampleDown(result, rows, across ? first : 0) : result;
}

/** The first pixel that is read, and the one behind the last. */
function span({ starts, counts }: Coefficients): [number, number] {
  const last = starts.length - 1;
  return [starts[0], starts[last] + counts[last]];
}

function moved(from: Coefficients, offset: number): Coefficients {
  return { ...from, starts: from.starts.map((start) => start - offset) };
}

type Affine = [number, number, number, number, number, number];

/** Pillow's affine transform of a gray image to a square, bicubic with a = -1. */
export function affine(image: Pixels, side: number, [a, b, c, d, e, f]: Affine): Pixels {
  const result = blank(side, side, 1);
  for (let j = 0, to = 0; j < side; j++) {
    for (let i = 0; i < side; i++, to++) {
      const x = a * (i + 0.5) + b * (j + 0.5) + c;
      const y = d * (i + 0.5) + e * (j + 0.5) + f;
      result.data[to] = bicubicAt(image, x, y);
    }
  }
  return result;
}

/** Pillow's affine transform of an image to a square, bilinear. */
export function affineBilinear(image: Pixels, side: number, [a, b, c, d, e, f]: Affine): Pixels {
  const { width, height, channels, data } = image;
  const result = blank(side, side, channels);
  const within = (value: number, size: number) => Math.min(Math.max(value, 0), size - 1);
  for (let j = 0, to = 0; j < side; j++) {
    for (let i = 0; i < side; i++, to += channels) {
      const x = a * (i + 0.5) + b * (j + 0.5) + c;
      const y = d * (i + 0.5) + e * (j + 0.5) + f;
      if (x < 0 || x >= width || y < 0 || y >= height) continue;
      const [left, top] = [Math.floor(x - 0.5), Math.floor(y - 0.5)];
      const [dx, dy] = [x - 0.5 - left, y - 0.5 - top];
      const columns = [within(left, width) * channels, within(left + 1, width) * channels];
      const rows = [within(top, height) * width * channels, within(top + 1, height) * width * channels];
      for (let k = 0; k < channels; k++) {
        const [upper, lower] = rows.map((row) => {
          const first = data[row + columns[0] + k];
          return first + (data[row + columns[1] + k] - first) * dx;
        });
        result.data[to + k] = Math.trunc(upper + (lower - upper) * dy);
      }
    }
  }
  return result;
}

function cubic(v1: number, v2: number, v3: number, v4: number, d: number): number {
  return v2 + d * (v3 - v1 + d * (2 * (v1 - v2) + v3 - v4 + d * (v2 - v1 - v3 + v4)));
}

function bicubicAt({ width, height, data }: Pixels, xin: number, yin: number): number {
  if (xin < 0 || xin >= width || yin < 0 || yin >= height) return 0;
  const left = Math.floor(xin - 0.5);
  const top = Math.floor(yin - 0.5);
  const dx = xin - 0.5 - left;
  const columns = [-1, 0, 1, 2].map((step) => Math.min(Math.max(left + step, 0), width - 1));
  const line = (y: number) => {
    const row = y * width;
    return cubic(data[row + columns[0]], data[row + columns[1]], data[row + columns[2]], data[row + columns[3]], dx);
  };
  const v1 = line(Math.min(Math.max(top - 1, 0), height - 1));
  const v2 = top >= 0 && top < height ? line(top) : v1;
  const v3 = top + 1 < height ? line(top + 1) : v2;
  const v4 = top + 2 < height ? line(top + 2) : v3;
  const value = cubic(v1, v2, v3, v4, yin - 0.5 - top);
  return value <= 0 ? 0 : value >= 255 ? 255 : Math.trunc(value);
}
