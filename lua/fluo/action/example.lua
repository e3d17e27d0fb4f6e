--- An alert that nothing has caused: to try a receiver out, and in specs.
local M = {}

-- The same each time: a resolve is of the same incident.
local INCIDENT = "666c756f206e6f746966792065786d70"

local TEXT = [[{"version":1,"id":"%s","receiver":"%s","status":"%s","event":"%s","at":"%s",]]
  .. [["group":{"rule":"example"},"incidents":[{"id":"%s","rule":"example","severity":"low","status":"%s",]]
  .. [["group":{"service":"example"},"count":1,"started_at":"%s","last_seen_at":"%s",%s]]
  .. [["summary":"This is an example alert","labels":{},"violations":[{"id":"%s","rule":"example",]]
  .. [["severity":"low","scope":"trace","time":"%s","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","spans":[]]
  .. [[{"span_id":"00f067aa0ba902b7","name":"GET /example","service":"example"}],"span_total":1}]}],]]
  .. [["incidents_total":1}]]

--- As JSON. id: 32 hexadecimal digits; unix: the time, in seconds.
function M.text(receiver, id, unix, is_resolved)
  local now = os.date("!%Y-%m-%dT%H:%M:%S.000000000Z", unix)
  local status, event = is_resolved and "resolved" or "firing", is_resolved and "resolved" or "opened"
  return TEXT:format(id, receiver, status, event, now, INCIDENT, is_resolved and "resolved" or "open", now, now,
    is_resolved and ('"resolved_at":"%s",'):format(now) or "", id, now)
end

return M
