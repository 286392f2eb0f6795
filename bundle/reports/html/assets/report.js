"use strict";
// The volumes of the page, mixed and coloured here, shown by NiiVue, or on plain canvases where WebGL 2 is absent.
(() => {
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("data").textContent);
  const PLANES = [
    { name: "axial", across: 0, down: 1, normal: 2, sides: ["R", "L", "A", "P"] },
    { name: "coronal", across: 0, down: 2, normal: 1, sides: ["R", "L", "S", "I"] },
    { name: "sagittal", across: 1, down: 2, normal: 0, sides: ["A", "P", "S", "I"] },
  ];
  const HEADER = 352; // bytes of a NIfTI file before its voxels
  const state = { base: "difference", blend: 1, map: "", opacity: 0.6, at: data.centre.slice() };
  const volumes = {}; // stored bytes by name
  let header; // of the fixed scan's NIfTI file; all volumes have its grid
  let shape;
  let mixed; // what is shown in grey
  let coloured; // what is shown in colour

  const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  async function inflate(text) {
    const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  const tables = Object.fromEntries(Object.entries(data.colours).map(([name, text]) => [name, bytesOf(text)]));
  const baseTable = () => tables[state.base === "difference" ? "difference" : "grey"];
  const mapTable = () => tables[state.map];

  function mix() {
    const { fixed, before, warped } = volumes;
    const after = state.blend;
    if (state.base === "fixed") {
      mixed.set(fixed);
    } else if (state.base === "moving") {
      for (let n = 0; n < mixed.length; n++) mixed[n] = before[n] + after * (warped[n] - before[n]);
    } else { // half steps, so that -255 to 255 fit
      for (let n = 0; n < mixed.length; n++) {
        mixed[n] = Math.round(127.5 + data.contrast * (before[n] + after * (warped[n] - before[n]) - fixed[n]));
      }
    }
    if (state.map) coloured.set(volumes[state.map]);
    else coloured.fill(0);
  }

  // ---- NiiVue

  const table = (bytes, alpha) => {
    const map = { R: [], G: [], B: [], A: [], I: [] };
    for (let n = 0; n < 256; n++) {
      map.R.push(bytes[3 * n]);
      map.G.push(bytes[3 * n + 1]);
      map.B.push(bytes[3 * n + 2]);
      map.A.push(alpha && n === 0 ? 0 : 255);
      map.I.push(n);
    }
    return map;
  };

  async function startNiivue() {
    if (!document.createElement("canvas").getContext("webgl2")) return null;
    const script = document.createElement("script");
    script.textContent = new TextDecoder().decode(await inflate(find("niivue").textContent));
    document.head.append(script);
    const viewer = new niivue.Niivue({
      backColor: [0, 0, 0, 1], show3Dcrosshair: false, isRadiologicalConvention: true, sagittalNoseLeft: true,
      multiplanarShowRender: 0, multiplanarLayout: 3, crosshairColor: [0.9, 0.62, 0, 0.8], crosshairWidth: 0.8, crosshairWidthUnit: "mm",
      textHeight: 0.06, dragMode: 3, dragAndDropEnabled: false, isColorbar: false, loadingText: "",
      logLevel: "silent", tileMargin: 4, multiplanarPadPixels: 4,
    });
    // NiiVue draws at once, and into a canvas that the browser has not laid out yet with negative widths.
    while (!find("gl").parentElement.clientWidth) await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    await viewer.attachToCanvas(find("gl"));
    for (const [name, bytes] of Object.entries(tables)) viewer.addColormap(`report ${name}`, table(bytes, name in volumes));
    for (const name of ["mixed", "coloured"]) {
      const file = new Uint8Array(HEADER + mixed.length);
      file.set(header);
      const view = new DataView(file.buffer);
      view.setFloat32(112, 1, true); // values are shown as they are stored
      view.setFloat32(116, 0, true);
      file.set(name === "mixed" ? mixed : coloured, HEADER);
      const image = await niivue.NVImage.loadFromBase64({ name: `${name}.nii`, base64: base64Of(file) });
      viewer.addVolume(image);
    }
    viewer.setSliceType(viewer.sliceTypeMultiplanar);
    viewer.onLocationChange = (place) => {
      const at = place.vox.slice(0, 3).map(Math.round);
      if (at.some((value, axis) => value !== state.at[axis])) {
        state.at = at;
        showPlace();
      }
    };
    return {
      name: "niivue",
      colour() {
        const [grey, colour] = viewer.volumes;
        grey.img.set(mixed);
        colour.img.set(coloured);
        setTable(grey, state.base === "difference" ? "difference" : "grey");
        setTable(colour, state.map || "displacement");
        colour.opacity = state.map ? state.opacity : 0;
        viewer.updateGLVolume();
      },
      place() {
        viewer.scene.crosshairPos = viewer.vox2frac(state.at);
        viewer.drawScene();
      },
    };
  }

  function setTable(image, name) {
    if (image.colormap !== `report ${name}`) image.colormap = `report ${name}`;
    [image.cal_min, image.cal_max] = [0, 255]; // NiiVue takes percentiles of the voxels with every new table
  }

  function base64Of(bytes) {
    const parts = [];
    for (let n = 0; n < bytes.length; n += 32768) parts.push(String.fromCharCode(...bytes.subarray(n, n + 32768)));
    return btoa(parts.join(""));
  }

  // ---- plain canvases

  function startCanvas() {
    find("gl").hidden = true;
    find("gl").style.display = "none";
    const stage = find("planes");
    stage.hidden = false;
    const views = PLANES.map((plane) => {
      const box = document.createElement("div");
      const canvas = document.createElement("canvas");
      canvas.width = shape[plane.across];
      canvas.height = shape[plane.down];
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${plane.name} slice`);
      box.append(canvas, ...["w", "e", "n", "s"].map((side, n) => {
        const letter = document.createElement("span");
        letter.className = side;
        letter.textContent = plane.sides[n];
        return letter;
      }));
      stage.append(box);
      const click = (event) => {
        if (event.type === "pointermove" && !event.buttons) return;
        const across = canvas.width - 1 - Math.floor((event.offsetX / canvas.clientWidth) * canvas.width);
        const up = canvas.height - 1 - Math.floor((event.offsetY / canvas.clientHeight) * canvas.height);
        state.at[plane.across] = Math.min(Math.max(across, 0), canvas.width - 1);
        state.at[plane.down] = Math.min(Math.max(up, 0), canvas.height - 1);
        showPlace();
        draw();
      };
      canvas.addEventListener("pointerdown", click);
      canvas.addEventListener("pointermove", click);
      return { plane, canvas };
    });
    const sizes = PLANES.map((plane) => [plane.across, plane.down].map((axis) => shape[axis] * data.spacing_mm[axis]));
    const resize = () => {
      const room = stage.clientWidth - 32;
      const width = sizes.reduce((sum, size) => sum + size[0], 0);
      const scale = Math.min(room / width, 364 / Math.max(...sizes.map((size) => size[1])));
      views.forEach(({ canvas }, n) => {
        canvas.style.width = `${sizes[n][0] * scale}px`;
        canvas.style.height = `${sizes[n][1] * scale}px`;
      });
    };
    window.addEventListener("resize", resize);
    resize();
    const strides = [1, shape[0], shape[0] * shape[1]]; // NIfTI: the first axis is the fastest
    function draw() {
      const grey = baseTable();
      const colour = mapTable();
      for (const { plane, canvas } of views) {
        const context = canvas.getContext("2d");
        const picture = context.createImageData(canvas.width, canvas.height);
        const start = state.at[plane.normal] * strides[plane.normal];
        for (let y = 0, pixel = 0; y < canvas.height; y++) {
          for (let x = 0; x < canvas.width; x++, pixel += 4) {
            const n = start + (canvas.width - 1 - x) * strides[plane.across]
              + (canvas.height - 1 - y) * strides[plane.down];
            const share = colour && coloured[n] ? state.opacity : 0;
            for (let part = 0; part < 3; part++) {
              const below = grey[3 * mixed[n] + part];
              picture.data[pixel + part] = share ? below + share * (colour[3 * coloured[n] + part] - below) : below;
            }
            picture.data[pixel + 3] = 255;
          }
        }
        context.putImageData(picture, 0, 0);
        context.fillStyle = "rgb(230 159 0 / .8)";
        context.fillRect(canvas.width - 1 - state.at[plane.across], 0, 0.6, canvas.height);
        context.fillRect(0, canvas.height - 1 - state.at[plane.down], canvas.width, 0.6);
      }
    }
    return { name: "canvas", colour: draw, place: draw };
  }

  // ---- the page around them

  function showPlace() {
    for (const { name, normal } of PLANES) find(name).value = state.at[normal];
    const n = state.at[0] + shape[0] * (state.at[1] + shape[1] * state.at[2]);
    const parts = Object.entries(data.volumes).map(([name, { label, low, high, unit, first }]) => {
      const stored = volumes[name][n];
      if (stored < first) return null;
      const value = low + ((stored - first) / (255 - first)) * (high - low);
      const beyond = stored === 255 ? "≥ " : stored === first && unit === "HU" ? "≤ " : "";
      return `${label} ${beyond}${value.toFixed(unit === "HU" ? 0 : 2)}${unit && ` ${unit}`}`;
    });
    find("readout").textContent = `At the cross: ${parts.filter(Boolean).join(" · ")}`;
  }

  function drawBars() {
    for (const [name, { label, low, high, unit }] of Object.entries(data.bars)) {
      const bar = document.createElement("div");
      bar.className = "bar";
      bar.id = `bar-${name}`;
      const strip = document.createElement("i");
      const stops = Array.from({ length: 17 }, (_, n) => Math.min(255, Math.max(1, 16 * n)));
      strip.style.background = `linear-gradient(to right, ${stops.map(
        (stop) => `rgb(${tables[name].slice(3 * stop, 3 * stop + 3).join(" ")})`).join(", ")})`;
      const numbers = document.createElement("span");
      numbers.append(...[low, (low + high) / 2, high].map((value) => {
        const number = document.createElement("b");
        number.textContent = `${+value.toPrecision(3)}${unit && ` ${unit}`}`.replace("-", "−");
        return number;
      }));
      bar.append(label, strip, numbers);
      find("bars").append(bar);
    }
  }

  function markBars() {
    const used = [state.base === "difference" ? "difference" : "grey", state.map];
    for (const name of Object.keys(data.bars)) find(`bar-${name}`).classList.toggle("used", used.includes(name));
  }

  async function start() {
    for (const name of Object.keys(data.volumes)) {
      const file = await inflate(find(`volume-${name}`).textContent);
      header = header || file.slice(0, HEADER);
      volumes[name] = file.subarray(HEADER);
    }
    const view = new DataView(header.buffer);
    shape = [42, 44, 46].map((place) => view.getInt16(place, true));
    mixed = new Uint8ClampedArray(volumes.fixed.length);
    coloured = new Uint8Array(volumes.fixed.length);
    find("viewer").hidden = false;
    mix();
    let viewer = null;
    try {
      viewer = await startNiivue();
    } catch (error) {
      console.warn(`NiiVue did not start: ${error}`);
    }
    viewer = viewer || startCanvas();
    for (const { name, normal } of PLANES) {
      find(name).max = shape[normal] - 1;
      find(name).addEventListener("input", (event) => {
        state.at[normal] = Number(event.target.value);
        showPlace();
        viewer.place();
      });
    }
    const change = (id, key, read) => find(id).addEventListener("input", (event) => {
      state[key] = read(event.target.value);
      find("blend").disabled = state.base === "fixed";
      mix();
      markBars();
      viewer.colour();
    });
    change("base", "base", String);
    change("map", "map", String);
    change("blend", "blend", (value) => value / 100);
    change("opacity", "opacity", (value) => value / 100);
    drawBars();
    markBars();
    showPlace();
    viewer.colour();
    viewer.place();
    document.documentElement.classList.add("js"); // from here on the still picture is for print only
    document.body.dataset.viewer = viewer.name;
  }

  start().catch((error) => {
    find("viewer").hidden = true;
    find("problem").hidden = false;
    find("problem").textContent = `The volumes of this page cannot be shown (${error}); the picture below can.`;
  });
})();
