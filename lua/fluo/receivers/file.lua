--- A file of JSON lines, an alert each, on the disk before it counts as delivered. Settings: path.
action "file" (function(alert, settings)
  return errand.append { path = settings.path, text = alert.json:gsub("[\r\n]", " ") .. "\n" }
end)
