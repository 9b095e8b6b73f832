"use strict";
// A U-Net in JavaScript, without a library. It runs in a worker, so that the page stays responsive.
//
// A tensor is {channels, height, width, data}: one plane a channel, and each plane has a border of
// zeros, one pixel wide, so that a 3x3 convolution never asks whether it has left the image.
// A layer is {weights, biases}; batch normalisation is folded into both.

function tensor(channels, height, width) {
  return {channels, height, width, data: new Float32Array(channels * (height + 2) * (width + 2))};
}

// Two convolutions of a block: inputs -> [B, H, W]. `first` and `second` are its layers.
function block(inputs, {first, second}) {
  return convolve([convolve(inputs, first)], second);
}

// 3x3 convolution and rectification. Several inputs are one tensor after the other, as if joined;
// an input that is null, a cut skip, would contribute zeros and is passed over.
function convolve(inputs, {weights, biases, shapes}) {
  const {height, width} = inputs.find(Boolean);
  const output = tensor(biases.length, height, width), {data} = output;
  const row = width + 2, plane = row * (height + 2);
  let kernel = 0;
  for (let to = 0; to < data.length; to += plane) {
    data.fill(biases[to / plane], to, to + plane);
    inputs.forEach((input, index) => {
      for (let channel = 0; channel < shapes[index]; channel++, kernel += 9) {
        if (input) addConvolved(input.data, channel * plane, data, to, plane, row, weights, kernel);
      }
    });
  }
  for (let at = 0; at < data.length; at++) if (data[at] < 0) data[at] = 0;
  clearBorder(output);
  return output;
}

// The inner loop, where all the time goes: one plane of the input, one kernel, one plane of the
// output. The rows of a plane are one run of numbers: what this writes into the border is cleared
// later. Of the nine pixels under the kernel, six are those of the step before, moved by one.
function addConvolved(source, from, target, to, plane, row, weights, kernel) {
  const w0 = weights[kernel], w1 = weights[kernel + 1], w2 = weights[kernel + 2];
  const w3 = weights[kernel + 3], w4 = weights[kernel + 4], w5 = weights[kernel + 5];
  const w6 = weights[kernel + 6], w7 = weights[kernel + 7], w8 = weights[kernel + 8];
  const last = to + plane - row - 1;
  let at = from + row + 1;
  let a = source[at - row - 1], b = source[at - row];
  let d = source[at - 1], e = source[at];
  let g = source[at + row - 1], h = source[at + row];
  for (let out = to + row + 1; out < last; out++, at++) {
    const c = source[at - row + 1], f = source[at + 1], i = source[at + row + 1];
    target[out] += w0 * a + w1 * b + w2 * c + w3 * d + w4 * e + w5 * f + w6 * g + w7 * h + w8 * i;
    a = b; b = c; d = e; e = f; g = h; h = i;
  }
}

function clearBorder({channels, height, width, data}) {
  const row = width + 2, plane = row * (height + 2);
  for (let channel = 0; channel < channels; channel++) {
    const start = channel * plane;
    data.fill(0, start, start + row);
    data.fill(0, start + plane - row, start + plane);
    for (let y = 1; y <= height; y++) data[start + y * row] = data[start + y * row + row - 1] = 0;
  }
}

// 2x2 max-pooling: [C, H, W] -> [C, H/2, W/2]
function pool({channels, height, width, data}) {
  const output = tensor(channels, height / 2, width / 2), row = width + 2;
  eachPixel(output, (to, channel, y, x) => {
    const at = (channel * (height + 2) + 2 * y + 1) * row + 2 * x + 1;
    output.data[to] = Math.max(data[at], data[at + 1], data[at + row], data[at + row + 1]);
  });
  return output;
}

// 2x2 transposed convolution, stride 2: [2C, H, W] -> [C, 2H, 2W]. A pixel of the input becomes
// four pixels of the output, and no two of these overlap.
function upsample(input, {weights, biases}) {
  const {height, width} = input, outputs = biases.length;
  const output = tensor(outputs, 2 * height, 2 * width), row = 2 * width + 2;
  const plane = row * (2 * height + 2), {data} = output;
  for (let out = 0; out < outputs; out++) data.fill(biases[out], out * plane, (out + 1) * plane);
  eachPixel(input, (at, channel, y, x) => {
    const value = input.data[at];
    let to = (2 * y + 1) * row + 2 * x + 1, kernel = 4 * channel * outputs;
    for (let out = 0; out < outputs; out++, to += plane, kernel += 4) {
      data[to] += value * weights[kernel];
      data[to + 1] += value * weights[kernel + 1];
      data[to + row] += value * weights[kernel + 2];
      data[to + row + 1] += value * weights[kernel + 3];
    }
  });
  clearBorder(output);
  return output;
}

function eachPixel({channels, height, width}, visit) {
  let at = width + 3;
  for (let channel = 0; channel < channels; channel++, at += 2 * (width + 2)) {
    for (let y = 0; y < height; y++, at += 2) {
      for (let x = 0; x < width; x++, at++) visit(at, channel, y, x);
    }
  }
}

// The head, a 1x1 convolution, and the class of the highest score: [C, H, W] -> labels, H * W
function classify({channels, height, width, data}, {weights, biases}) {
  const labels = new Uint8Array(height * width), highest = new Float32Array(height * width);
  const row = width + 2, plane = row * (height + 2);
  for (let pixel = 0; pixel < labels.length; pixel++) {
    const at = (Math.floor(pixel / width) + 1) * row + pixel % width + 1;
    highest[pixel] = -Infinity;
    for (let label = 0; label < biases.length; label++) {
      let score = biases[label];
      for (let channel = 0; channel < channels; channel++) {
        score += weights[label * channels + channel] * data[channel * plane + at];
      }
      if (score > highest[pixel]) { highest[pixel] = score; labels[pixel] = label; }
    }
  }
  return labels;
}

// What a picture can show of a tensor: its mean over the channels, from black to white, H * W
function overview(input) {
  const {height, width} = input, sums = new Float32Array(height * width);
  eachPixel(input, (at, channel, y, x) => { sums[y * width + x] += input.data[at] });
  const lowest = Math.min(...sums), range = Math.max(...sums) - lowest || 1;
  return Uint8Array.from(sums, sum => 255 * (sum - lowest) / range);
}

// The way down: image -> features of every level, finest first; the last are the bottleneck's.
function encode(network, image) {
  const features = [];
  network.encoder.forEach((layers, level) => {
    features.push(block([level ? pool(features[level - 1]) : image], layers));
  });
  return features;
}

// The way up: image -> labels. `sources` names for each level the image whose features cross there,
// null where the skip is cut. Levels below the first one that has changed since the last call are
// not computed again.
const path = [];  // of the last call: {key, x} of every level
function decode(network, image, sources) {
  let x = known.get(image).at(-1);
  for (let level = sources.length - 1; level >= 0; level--) {
    const key = [image, ...sources.slice(level)].join();
    if (path[level]?.key !== key) {
      const {up, layers} = network.decoder[level], source = sources[level];
      const crossing = source === null ? null : known.get(source)[level];
      path[level] = {key, x: block([crossing, upsample(x, up)], layers)};
    }
    x = path[level].x;
  }
  return classify(x, network.head);
}

// The network from its file: eight-bit integers in the order of the forward pass, each of which is
// multiplied by the scale of its output channel. `parameters` holds all scales, then all biases.
function build(integers, parameters, base, classes, depth) {
  let weight = 0, output = 0;
  function layer(shapes, outputs, kernel, transposed = false) {
    const inputs = shapes.reduce((sum, channels) => sum + channels);
    const weights = new Float32Array(inputs * outputs * kernel);
    for (let at = 0; at < weights.length; at++) {
      const out = transposed ? Math.floor(at / kernel) % outputs : Math.floor(at / kernel / inputs);
      weights[at] = integers[weight + at] * parameters[output + out];
    }
    const start = parameters.length / 2 + output;
    const biases = parameters.slice(start, start + outputs);
    weight += weights.length;
    output += outputs;
    return {weights, biases, shapes};
  }
  function convolutions(shapes, outputs) {
    return {first: layer(shapes, outputs, 9), second: layer([outputs], outputs, 9)};
  }
  const encoder = [], decoder = [];
  for (let level = 0; level <= depth; level++) {
    const width = base * 2 ** level;
    encoder.push(convolutions([level ? width / 2 : 3], width));
  }
  for (let level = depth - 1; level >= 0; level--) {
    const width = base * 2 ** level, up = layer([2 * width], width, 4, true);
    decoder[level] = {up, layers: convolutions([width, width], width)};
  }
  return {encoder, decoder, head: layer([base], classes, 1)};
}

// What the page sends. First the network; then images as {image, pixels, height, width}, of which
// the encoder runs once; then questions, {number, image, sources}: for each level the name of the
// image whose features cross, or null. An answer is {number, labels, maps}, where maps has an
// overview of every level of the encoder and then of the decoder, each finest first.
async function unpack({weights, parameters, base, classes, depth}) {
  const packed = new Blob([bytes(weights)]).stream();
  const stream = packed.pipeThrough(new DecompressionStream("deflate"));
  const integers = new Int8Array(await new Response(stream).arrayBuffer());
  return build(integers, new Float32Array(bytes(parameters).buffer), base, classes, depth);
}

function bytes(base64) {
  const text = atob(base64), numbers = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) numbers[at] = text.charCodeAt(at);
  return numbers;
}

const known = new Map();  // name of an image -> its features
let ready;
onmessage = async ({data}) => {
  if (data.weights) ready = unpack(data);
  const network = await ready;
  if (data.pixels) {
    const image = tensor(3, data.height, data.width);
    eachPixel(image, (at, channel, y, x) => {
      image.data[at] = data.pixels[4 * (y * data.width + x) + channel] / 255;
    });
    known.set(data.image, encode(network, image));
  }
  if (data.sources) {
    const labels = decode(network, data.image, data.sources);
    const maps = [...known.get(data.image), ...path.map(({x}) => x)].map(overview);
    postMessage({number: data.number, labels, maps});
  }
};
