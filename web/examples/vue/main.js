import { createApp } from "vue";
import Photo from "./Photo.vue";

createApp(Photo, { src: "./astronaut.jpg", alt: "A smiling astronaut" }).mount("#app");
