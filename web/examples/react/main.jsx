import { Analyzer } from "mien-js";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

function useAnalyzer(options) {
  const [analyzer, setAnalyzer] = useState(null);
  useEffect(() => {
    const loading = Analyzer.create(options);
    loading.then(setAnalyzer, console.error);
    return () => void loading.then((made) => made.dispose(), () => {});
  }, []);
  return analyzer;
}

function Photo({ src, alt }) {
  const analyzer = useAnalyzer({ model: "mien-tiny" });
  const [faces, setFaces] = useState(null);
  useEffect(() => {
    if (!analyzer) return;
    fetch(src)
      .then((reply) => reply.blob())
      .then((blob) => analyzer.analyze(blob))
      .then(setFaces, console.error);
  }, [analyzer, src]);
  const text = faces?.map(({ top, emotions }) => `${top} ${Math.round(100 * emotions[top])} %`).join(", ");
  return (
    <figure>
      <img src={src} alt={alt} width="256" />
      <figcaption id="answer" role="status">
        {text ?? "Loading"}
      </figcaption>
    </figure>
  );
}

createRoot(document.querySelector("#root")).render(<Photo src="./astronaut.jpg" alt="A smiling astronaut" />);
