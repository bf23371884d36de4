// agree.js: does ONNX Runtime read the same in exported models as the library that exported them?
//
//     node agree.js DIRECTORY IMAGES
//
// For every NAME.onnx in DIRECTORY it reads the images of the IDX file IMAGES (plain or gzip) and compares with
// NAME.probabilities, float32 (n, 10).  Exit status 1 if a probability differs by more than 1e-4, or a label differs
// whose probability leads by more than that.
'use strict';
const fs = require('fs');
const path = require('path');
const zlib = require('zlib');
const ort = require('onnxruntime-node');

const LIMIT = 1e-4;
const PIXELS = 28 * 28;
const CLASSES = 10;
const BATCH = 100;

// The pixels of an IDX file of 28 x 28 images, as (n, 784) of 0..1.
function readImages(file) {
	let bytes = fs.readFileSync(file);
	if (bytes[0] === 0x1f && bytes[1] === 0x8b) bytes = zlib.gunzipSync(bytes);
	const n = bytes.readUInt32BE(4);
	if (bytes.readUInt32BE(0) !== 0x803 || bytes.length !== 16 + n * PIXELS) throw new Error(`${file}: not an IDX file of images`);
	return Float32Array.from(bytes.subarray(16), (pixel) => pixel / 255);
}

// float32 (n, 10) from a file, in the machine's byte order.
function readFloats(file) {
	const bytes = fs.readFileSync(file);
	return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

async function readDigits(session, images) {
	const n = images.length / PIXELS;
	const probabilities = new Float32Array(n * CLASSES);
	for (let i = 0; i < n; i += BATCH) {
		const count = Math.min(BATCH, n - i);
		const input = new ort.Tensor('float32', images.subarray(i * PIXELS, (i + count) * PIXELS), [count, 1, 28, 28]);
		const output = (await session.run({ image: input })).probabilities;
		if (output.dims.join() !== `${count},${CLASSES}`) throw new Error(`output of shape ${output.dims}`);
		probabilities.set(output.data, i * CLASSES);
	}
	return probabilities;
}

// The largest of row i: its place, and its lead over the next.
function best(probabilities, i) {
	const row = Array.from(probabilities.subarray(i * CLASSES, (i + 1) * CLASSES));
	const sorted = [...row].sort((a, b) => b - a);
	return { label: row.indexOf(sorted[0]), lead: sorted[0] - sorted[1] };
}

function compare(theirs, ours) {
	if (theirs.length !== ours.length) throw new Error(`${theirs.length} probabilities against ${ours.length}`);
	const result = { images: ours.length / CLASSES, difference: 0, labels: 0, digits: new Set() };
	for (let k = 0; k < ours.length; k++) {
		const difference = Math.abs(ours[k] - theirs[k]);
		// written so that a NaN counts as a difference
		if (!(difference <= result.difference)) result.difference = difference;
	}
	for (let i = 0; i < result.images; i++) {
		const our = best(ours, i);
		if (our.label !== best(theirs, i).label && our.lead > LIMIT) result.labels++;
		result.digits.add(our.label);
	}
	return result;
}

async function main() {
	const [directory, imagesFile] = process.argv.slice(2);
	if (imagesFile === undefined) throw new Error('usage: node agree.js DIRECTORY IMAGES');
	const images = readImages(imagesFile);
	const models = fs.readdirSync(directory).filter((file) => file.endsWith('.onnx')).sort();
	if (models.length === 0) throw new Error(`${directory}: no models`);
	for (const model of models) {
		const name = path.basename(model, '.onnx');
		const session = await ort.InferenceSession.create(path.join(directory, model), { intraOpNumThreads: 1, interOpNumThreads: 1 });
		const result = compare(await readDigits(session, images), readFloats(path.join(directory, `${name}.probabilities`)));
		const good = result.difference <= LIMIT && result.labels === 0 && result.images > 0;
		console.log(
			`${name.padEnd(12)} ${result.images} images, largest difference ${result.difference.toExponential(2)}, ` +
				`${result.labels} labels differ, ${result.digits.size} digits read: ${good ? 'agrees' : 'DIFFERS'}`);
		if (!good) process.exitCode = 1;
	}
}

main().catch((error) => {
	console.error(`agree.js: ${error.message}`);
	process.exitCode = 1;
});
