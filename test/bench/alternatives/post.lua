-- post.lua: wrk posts the PNGs named after "--" in turn.
local images = {}
local next_image = 0

function init(args)
	for i, name in ipairs(args) do
		local file = assert(io.open(name, "rb"))
		images[i] = wrk.format("POST", "/predict", { ["Content-Type"] = "image/png" }, file:read("*a"))
		file:close()
	end
end

function request()
	next_image = next_image % #images + 1
	return images[next_image]
end

function done(summary, latency)
	local errors = summary.errors
	print(string.format("result %.1f %.3f %d", summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3,
		errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
