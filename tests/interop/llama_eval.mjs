// Ask llama.cpp about a GGUF file.
//
// usage: node llama_eval.mjs REQUEST.json ANSWER.json      (INTEROP_DIR is set)
//
// Request:
//   model         path of the GGUF file
//   windows       lists of token ids; every position of each is scored  (optional)
//   logits        how many positions of the first window give all their logits
//   prompts       texts to continue greedily                            (optional)
//   new_tokens    how long the continuations are
//   f32_cache     keep keys and values in f32 instead of f16
// Answer:
//   type          what llama.cpp says the file's type is
//   top1          per window, the most probable next token after each position
//   nll           per window, -ln p(next token) at each position but the last
//   logits        [positions][vocabulary]
//   texts         the continuations, prompt not included
//   prompt_tokens token ids of each prompt

import {readFileSync, writeFileSync} from "node:fs";
import path from "node:path";
import {pathToFileURL} from "node:url";

const entry = path.join(process.env.INTEROP_DIR, "npm/node_modules/node-llama-cpp/dist/index.js");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry).href);

const request = JSON.parse(readFileSync(process.argv[2], "utf8"));
const windows = request.windows ?? [];
const prompts = request.prompts ?? [];
const longest = Math.max(64, ...windows.map((w) => w.length));

const llama = await getLlama({
    gpu: false,
    build: "never",
    maxThreads: 1,
    logLevel: LlamaLogLevel.error,
    progressLogs: false
});
const model = await llama.loadModel({modelPath: request.model, gpuLayers: 0});
const cache = request.f32_cache ?
    {experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32", flashAttention: false} : {};
const context = await model.createContext({
    contextSize: prompts.length > 0 ? Math.max(512, longest) : longest,
    batchSize: 512,
    threads: 1, // ggml threads spin while they wait: a second one only helps on an idle machine
    ...cache
});
const sequence = context.getSequence();

const answer = {type: model.typeDescription, top1: [], nll: [], logits: [], texts: [], prompt_tokens: []};
const vocabulary = Array.from({length: model.fileInfo.metadata.tokenizer.ggml.tokens.length}, (_, i) => i);

for (let w = 0; w < windows.length; w++) {
    const window = windows[w];
    await sequence.clearHistory();
    const results = await sequence.controlledEvaluate(window.map((token, i) => [token, {
        generateNext: {
            totalLogitWeight: true,
            logits: w === 0 && i < (request.logits ?? 0) ? true :
                {filter: {tokens: window.slice(i + 1, i + 2), includeTop: 1}},
            options: {temperature: 0}
        }
    }]));
    const top1 = [];
    const nll = [];
    for (let i = 0; i < window.length; i++) {
        const {logits, totalLogitWeight} = results[i].next;
        let best = -1;
        let top = -Infinity;
        for (const [token, value] of logits)
            if (value > top) {
                best = token;
                top = value;
            }
        top1.push(best);
        if (i + 1 < window.length)
            nll.push(Math.log(totalLogitWeight) + top - logits.get(window[i + 1]));
        if (w === 0 && i < (request.logits ?? 0))
            answer.logits.push(vocabulary.map((token) => logits.get(token)));
    }
    answer.top1.push(top1);
    answer.nll.push(nll);
}

for (const prompt of prompts) {
    await sequence.clearHistory();
    const tokens = model.tokenize(prompt);
    answer.prompt_tokens.push(tokens);
    const said = [];
    for await (const token of sequence.evaluate(tokens, {temperature: 0})) {
        said.push(token);
        if (said.length >= request.new_tokens)
            break;
    }
    answer.texts.push(model.detokenize(said));
}

writeFileSync(process.argv[3], JSON.stringify(answer));
process.exit(0);
