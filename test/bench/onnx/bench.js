// bench.js: how fast ONNX Runtime reads images with exported models, and how fast this library does, in one run.
//
//     node bench.js DIRECTORY BENCH_FORWARD [ARCHITECTURE...]
//
// DIRECTORY holds NAME.onnx; BENCH_FORWARD is the program built from bench_forward.c.  One thread each, CPU time,
// which what else runs on the machine changes little; the median of rounds that alternate between the two, each of
// them a median of repetitions.  A call from JavaScript costs microseconds of its own: those of the smallest network,
// softmax, which computes next to nothing, are subtracted ("net"), which favours ONNX Runtime.
'use strict';
const { execFileSync } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const ort = require('onnxruntime-node');

const SMOKE = Boolean(process.env.BENCH_SMOKE);
const ROUNDS = SMOKE ? 1 : 5;
const REPETITIONS = SMOKE ? 1 : 15;
const MICROSECONDS_A_REPETITION = SMOKE ? 1000 : 20000;
const BATCHES = [1, 64];
// Rows, bars and aims of the comparison, by architecture and batch; for the lines "row ..." that all benchmarks print.
const ROWS = {
	keras_cnn: { 1: [1, 1.6, 2.5], 64: [2, 1.3, 2.5] },
	default: { 1: [3, 1.3, 2.5], 64: [3, 1.3, 2.5] },
};
const ARCHITECTURES = ['softmax', 'mlp', 'lenet5', 'keras_cnn', 'default'];

function median(numbers) {
	const sorted = [...numbers].sort((a, b) => a - b);
	return sorted[Math.floor(sorted.length / 2)];
}

// Microseconds of CPU that this process has used.
function now() {
	const usage = process.cpuUsage();
	return usage.user + usage.system;
}

// Microseconds an image.
async function measureRuntime(session, batch) {
	const pixels = Float32Array.from({ length: batch * 784 }, (_, i) => ((i * 2654435761) >>> 24) / 255);
	const input = { image: new ort.Tensor('float32', pixels, [batch, 1, 28, 28]) };
	const times = [];
	await session.run(input);
	for (let r = 0; r < REPETITIONS; r++) {
		const start = now();
		let calls = 0;
		let elapsed;
		do {
			for (let i = 0; i < 8; i++) await session.run(input);
			calls += 8;
			elapsed = now() - start;
		} while (elapsed < MICROSECONDS_A_REPETITION);
		times.push(elapsed / (calls * batch));
	}
	return median(times);
}

// Microseconds an image by batch size, with the best kernels of this CPU, which are printed first.
function measureOurs(program, architecture) {
	const times = {};
	for (const line of execFileSync(program, [architecture], { encoding: 'utf8' }).split('\n')) {
		const match = /^\S+\s+(\S+)\s+batch\s+(\d+):\s+([\d.]+) microseconds an image/.exec(line);
		if (match && !(match[2] in times)) times[match[2]] = { isa: match[1], time: Number(match[3]) };
	}
	return times;
}

async function main() {
	const [directory, program, ...names] = process.argv.slice(2);
	if (program === undefined) throw new Error('usage: node bench.js DIRECTORY BENCH_FORWARD [ARCHITECTURE...]');
	const overhead = {};
	const results = [];
	console.log(`${os.cpus()[0].model}, ONNX Runtime ${ort.env.versions.node}, one thread, microseconds an image`);
	console.log('architecture  batch      ours    kernels   ONNX Runtime       net     ratio (net / ours)');
	for (const name of ['softmax', ...(names.length > 0 ? names : ARCHITECTURES).filter((n) => n !== 'softmax')]) {
		const file = path.join(directory, `${name}.onnx`);
		if (!fs.existsSync(file)) throw new Error(`${file} is not there`);
		const session = await ort.InferenceSession.create(file, { intraOpNumThreads: 1, interOpNumThreads: 1 });
		const theirs = {};
		const ours = {};
		let isa;
		for (const batch of BATCHES) theirs[batch] = ours[batch] = undefined;
		for (let round = 0; round < ROUNDS; round++) {
			const own = measureOurs(program, name);
			for (const batch of BATCHES) {
				if (!own[batch]) throw new Error(`${program} did not say how fast ${name} is at batch ${batch}`);
				isa = own[batch].isa;
				ours[batch] = [...(ours[batch] || []), own[batch].time];
				theirs[batch] = [...(theirs[batch] || []), await measureRuntime(session, batch)];
			}
		}
		for (const batch of BATCHES) {
			const our = median(ours[batch]);
			const their = median(theirs[batch]);
			if (name === 'softmax') overhead[batch] = their;
			const net = their - overhead[batch];
			console.log(
				`${name.padEnd(12)} ${String(batch).padStart(6)} ${our.toFixed(2).padStart(9)} ${isa.padStart(10)} ` +
					`${their.toFixed(2).padStart(14)} ${net.toFixed(2).padStart(9)} ` +
					(name === 'softmax' ? '    (the cost of a call)' : `${(net / our).toFixed(2).padStart(9)}`));
			if (name in ROWS) {
				const [row, bar, aim] = ROWS[name][batch];
				results.push(
					[`row ${String(row).padEnd(3)}`, `${name} forward, batch ${batch}, against ONNX Runtime`.padEnd(64),
						`${our.toFixed(2)} us`.padEnd(16), `${net.toFixed(2)} us`.padEnd(22), (net / our).toFixed(2).padEnd(14),
						String(bar).padEnd(22), aim].join(' | '));
			}
		}
	}
	for (const result of results) console.log(result);
}

main().catch((error) => {
	console.error(`bench.js: ${error.message}`);
	process.exitCode = 1;
});
