-- The health of a QueueRecovery. Argo CD reports one that is being deleted itself.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not read this version of it yet"}
end
local is = {}
for _, condition in ipairs(status.conditions or {}) do
  is[condition.type] = condition.status == "True"
  if condition.type == "Reconciling" and (condition.reason == "Suspended" or condition.reason == "AwaitingApproval") then
    is.Suspended = condition.status == "True"
  end
end
local health = "Progressing"
if is.Stalled then
  health = "Degraded"
elseif is.Ready then
  health = "Healthy"
elseif is.Suspended then
  health = "Suspended"
end
return {status = health, message = status.message}
