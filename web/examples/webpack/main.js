import { Analyzer } from "mien-js";

const photo = document.querySelector("#photo");
await photo.decode();
const analyzer = await Analyzer.create();
const [face] = await analyzer.analyze(photo);
document.querySelector("#answer").textContent = `${face.top} ${Math.round(100 * face.emotions[face.top])} %`;
