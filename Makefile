# make demo | test | test-cpus | test-long | mutants | lint | format | env | clean
#
#   test        ruff, mypy and all tests but the slow ones; below 10 minutes on two cores
#   test-cpus   the numeric tests with the kernels of other processors
#   test-long   test-cpus and the slow tests; at most an hour
#   mutants     random single changes of the code: do the tests of their room notice?
#
#   ROS=jazzy|kilted     which ROS 2 wheels (default jazzy); each has its own folder in .build
#   PYTHON=python3.12    which Python makes the environment (3.10 to 3.14)
#   TESTS="test/stream"  for make test: which tests, and any other argument of pytest
#   MUTANTS="--rooms stream --seed 2"  for make mutants: any argument of python -m tools.mutants
#   BAG= VIDEO= MODEL= OUT=   for make demo: input, checkpoint, folder of the results
#   VIEWER=1             for make demo: show the run live in a browser, until Ctrl-C

ROS ?= jazzy
PYTHON ?= python3
TESTS ?=
MUTANTS ?=
BAG ?=
VIDEO ?=
MODEL ?=
OUT ?=
VIEWER ?=
export BAG VIDEO MODEL OUT VIEWER

# `make clean` removes a folder of this name.
ifneq ($(ROS),$(filter jazzy kilted,$(ROS)))
$(error ROS=$(ROS): expected jazzy or kilted)
endif

SHELL := /bin/sh
ENTER := . ./.build/$(ROS)/env.sh &&

.PHONY: help env demo test test-cpus test-long mutants lint format clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile

env:
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
		echo 'There is no $(PYTHON) on this machine: install Python 3.10 to 3.14 or name one with PYTHON=.' >&2; \
		exit 2; }
	@"$(PYTHON)" tools/check_python.py
	@"$(PYTHON)" -m tools.build_env --ros "$(ROS)"

demo: env
	@$(ENTER) set -- demo && \
	if [ -n "$$BAG" ]; then set -- "$$@" --bag "$$BAG"; fi && \
	if [ -n "$$VIDEO" ]; then set -- "$$@" --video "$$VIDEO"; fi && \
	if [ -n "$$MODEL" ]; then set -- "$$@" --model "$$MODEL"; fi && \
	if [ -n "$$OUT" ]; then set -- "$$@" --out "$$OUT"; fi && \
	case "$$VIEWER" in ''|0) ;; *) set -- "$$@" --viewer ;; esac && \
	da3 "$$@"

# Compiled modules are kept: programs that tests start would compile all of them anew each time.
test: lint
	@$(ENTER) env -u PYTHONDONTWRITEBYTECODE python -m pytest -n 4 --dist loadfile $(TESTS)

test-cpus: env
	@$(ENTER) python -m tools.test_cpus $(TESTS)

# One process: giant networks need most of the memory, soaks a quiet machine.
test-long: env
	@$(ENTER) python -m tools.test_cpus && python -m pytest -m slow $(TESTS)

mutants: env
	@$(ENTER) python -m tools.mutants --json ".build/$(ROS)/mutants.json" $(MUTANTS)

lint: env
	@$(ENTER) ruff check . && ruff format --check . && mypy

format: env
	@$(ENTER) ruff check --fix . && ruff format .

clean:
	rm -rf "./.build/$(ROS)" .mypy_cache .pytest_cache .ruff_cache
