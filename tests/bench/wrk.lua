-- Posts the bodies of a file, a line each, one after the other and again from the start.
function init(arguments)
    bodies = {}
    for line in io.lines(arguments[1]) do
        table.insert(bodies, line)
    end
    headers = { ["Authorization"] = arguments[2], ["Content-Type"] = "application/json" }
    at = 0
end

function request()
    at = at % #bodies + 1
    return wrk.format("POST", nil, headers, bodies[at])
end

function done(summary, latency, requests)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format(
        "%d %d %d\n", summary.requests, summary.duration, failed
    ))
end
