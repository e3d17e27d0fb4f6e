/* YAML as a row of events (libyaml), for rule files. Declared in fluo.h, for Lua alone calls it. */
#ifndef FLUO_YAML_H
#define FLUO_YAML_H
#include "fluo.h"
#endif
