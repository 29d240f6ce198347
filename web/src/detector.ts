/** BlazeFace over a whole image, its tiles and its turns, as mien.detection.blazeface and .turned. */

import { onGrid, sampleSquare, type Detection } from "./crop.js";
import { LIMIT, type RunChecks } from "./face-check.js";
import { BICUBIC, resize, rotated, roundHalfEven, type Pixels } from "./pixels.js";
import { decode, iou, logit, merge, SAME_FACE_IOU, sigmoid, withoutParts, type FaceRow } from "./postprocess.js";
import { contains, letterbox, MARGIN, resized, scales, SMALLEST, tilePixels, tiles, toImage } from "./tiling.js";

/** Runs the network on one image (H, W, 3), sides multiples of 32. */
export type RunDetector = (image: Pixels) => Promise<{ boxes: Float32Array; scores: Float32Array }>;

// Each number is explained in mien/detection/blazeface.py, where it was measured.
const INPUT = 256;
const LARGEST = 140;
const LARGEST_AGAIN = 120;
const CONFIDENT = 0.75;
const CHECK_SIDE = 2;
const CHECK_SIZE = 96;
const CHECK_MARGIN = 1.5;
const FIRST_WEIGHT = 0.3;
const TILE_CHECK_MARGIN = 1.1;
const FIRST_WEIGHT_IN_TILE = 0.5;
const TILE_MARGIN = 0.25;
const SURE = 0.9;
// And these in mien/detection/turned.py.
const UPRIGHT = 0.8;
const TURNED_LEAST = 0.7;
const TURNED_MORE = 0.1;
const SQUARE = 1.6;
const SQUARE_SIZE = 256;
const LONGEST = 1024;

const widthOf = (face: FaceRow) => face[2] - face[0];

export class BlazeFace {
  private readonly least: number;

  constructor(
    private readonly network: RunDetector,
    private readonly checks: RunChecks,
    private readonly threshold = 0.5,
    private readonly minFace: number | null = 40,
  ) {
    this.least = logit(threshold);
  }

  /** The faces of an image, the most confident first. */
  async detect(image: Pixels): Promise<Detection[]> {
    const [whole, ...finer] = scales(image.width, image.height, INPUT, this.minFace);
    const found = await this.searchWhole(image, whole);
    let coarser = whole;
    for (const scale of finer) {
      found.push(...(await this.searchTiles(image, scale, coarser)));
      coarser = scale;
    }
    return this.withoutMistakes(image, withoutParts(merge(found)).map(detection));
  }

  /** The detections that are confident, or whose crop is a face. */
  private async withoutMistakes(image: Pixels, faces: Detection[]): Promise<Detection[]> {
    const unsure = faces.filter((face) => face.confidence < SURE);
    const checks = await this.checks(image, unsure);
    const mistakes = unsure.filter((_, i) => checks[i].face < LIMIT);
    return faces.filter((face) => !mistakes.includes(face));
  }

  /** The faces of an image, also if it lies on its side or is upside down. */
  async detectTurned(image: Pixels): Promise<Detection[]> {
    let best = await this.detect(image);
    const score = Math.max(0, ...best.map((face) => face.confidence));
    if (score >= UPRIGHT) return best;
    let least = Math.max(TURNED_LEAST, score + TURNED_MORE);
    const factor = Math.max(1, Math.max(image.width, image.height) / LONGEST);
    const small =
      factor === 1
        ? image
        : resize(
            image,
            Math.max(1, roundHalfEven(image.width / factor)),
            Math.max(1, roundHalfEven(image.height / factor)),
            BICUBIC,
            { reducingGap: 2 },
          );
    for (const turns of [1, 2, 3]) {
      const turned = rotated(small, turns);
      const found = (await this.detect(turned)).sort((a, b) => b.confidence - a.confidence);
      if (found.length && found[0].confidence >= least && (await this.foundAgain(turned, found[0]))) {
        least = found[0].confidence;
        best = found.map((face) => turnedBack(face, turns, small.width, small.height, factor));
      }
    }
    return best;
  }

  private async foundAgain(image: Pixels, face: Detection): Promise<boolean> {
    const [left, top, width, height] = face.box;
    const side = SQUARE * Math.max(width, height);
    const x = left + (width - side) / 2;
    const y = top + (height - side) / 2;
    const again = await this.detect(sampleSquare(image, x, y, side, SQUARE_SIZE, false));
    return again.some((each) => each.confidence >= TURNED_LEAST);
  }

  private async searchWhole(image: Pixels, scale: number): Promise<FaceRow[]> {
    const first = merge(await this.search(image, scale, INPUT, this.least - CHECK_MARGIN));
    const large = first.filter((face) => widthOf(face) > LARGEST / scale);
    const rest = first.filter((face) => !large.includes(face));
    const sure = (face: FaceRow) => face[16] >= Math.max(CONFIDENT, this.threshold);
    const faces = rest.filter(sure);
    for (const face of rest.filter((each) => !sure(each))) {
      faces.push(...(await this.check(image, face, this.least, FIRST_WEIGHT)));
    }
    if (faces.length && !large.length) return faces;
    const again = merge(await this.search(image, scale / 2, (INPUT * 3) / 4, this.least)).filter(
      (face) => widthOf(face) > LARGEST_AGAIN / scale,
    );
    const alone = large.filter((face) => !again.some((other) => iou(face, other) > SAME_FACE_IOU));
    return [...faces, ...again, ...alone.filter((face) => face[16] > this.threshold)];
  }

  private async search(image: Pixels, scale: number, side: number, least: number): Promise<FaceRow[]> {
    const [canvas, corner] = letterbox(image, scale, side);
    return toImage(await this.run(canvas, least), image, scale, corner);
  }

  private async searchTiles(image: Pixels, scale: number, coarser: number): Promise<FaceRow[]> {
    const level = resized(image, scale);
    const largest = (SMALLEST * MARGIN * scale) / coarser;
    const found: FaceRow[] = [];
    for (const tile of tiles(level.width, level.height, largest)) {
      const faces = await this.run(tilePixels(level, tile), this.least - TILE_CHECK_MARGIN);
      const whole = faces.filter((face) => widthOf(face) <= largest && contains(tile, face));
      found.push(...whole.map((face) => moved(face, tile.left, tile.top)));
    }
    const confirmed: FaceRow[] = [];
    for (const face of toImage(merge(found), image, scale, [0, 0])) {
      confirmed.push(...(await this.check(image, face, this.least + TILE_MARGIN, FIRST_WEIGHT_IN_TILE)));
    }
    return confirmed;
  }

  /** The face as found in the middle of its own square, or none if it is not confirmed. */
  private async check(image: Pixels, face: FaceRow, least: number, firstWeight: number): Promise<FaceRow[]> {
    const side = onGrid(Math.fround(Math.max(face[2] - face[0], face[3] - face[1])) * CHECK_SIDE);
    const x = onGrid((Math.fround(face[0] + face[2]) - side) / 2);
    const y = onGrid((Math.fround(face[1] + face[3]) - side) / 2);
    const [scale, corner] = [Math.fround(side / CHECK_SIZE), [Math.fround(x), Math.fround(y)]];
    const first = logit(face[16]);
    const square = sampleSquare(image, x, y, side, CHECK_SIZE, false);
    const seen = merge(await this.run(square, (least - firstWeight * first) / (1 - firstWeight)))
      .map((row) => row.map((value, k) => (k < 16 ? Math.fround(value * scale) + corner[k % 2] : value)))
      .find((row) => iou(face, row) > SAME_FACE_IOU);
    if (!seen) return [];
    seen[16] = sigmoid(firstWeight * first + (1 - firstWeight) * logit(seen[16]));
    return [seen];
  }

  private async run(image: Pixels, least: number): Promise<FaceRow[]> {
    const { boxes, scores } = await this.network(image);
    return decode(boxes, scores, image.height, image.width, least);
  }
}

function moved(face: FaceRow, x: number, y: number): FaceRow {
  return face.map((value, k) => (k < 16 ? value + (k % 2 ? y : x) : value));
}

function detection(face: FaceRow): Detection {
  const keypoints = Array.from({ length: 6 }, (_, i) => [face[4 + 2 * i], face[5 + 2 * i]] as [number, number]);
  return { box: [face[0], face[1], face[2] - face[0], face[3] - face[1]], confidence: face[16], keypoints };
}

function turnedBack(face: Detection, turns: number, width: number, height: number, factor: number): Detection {
  const back = ([x, y]: [number, number]): [number, number] => {
    const [bx, by] = turns === 1 ? [width - y, x] : turns === 2 ? [width - x, height - y] : [y, height - x];
    return [bx * factor, by * factor];
  };
  const [left, top, wide, tall] = face.box;
  const [a, b] = [back([left, top]), back([left + wide, top + tall])];
  const [x0, y0] = [Math.min(a[0], b[0]), Math.min(a[1], b[1])];
  return {
    box: [x0, y0, Math.max(a[0], b[0]) - x0, Math.max(a[1], b[1]) - y0],
    confidence: face.confidence,
    keypoints: face.keypoints.map((point) => back(point).map(Math.fround) as [number, number]),
  };
}
