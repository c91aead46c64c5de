# What each target does: `make help`. Names and variables: README.md.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

# K (2), DATA (4), PORT_BASE (6600), STANDBY (on) and ENCRYPTION (off) are left to deploy/local_grid.py: a grid that is there keeps its own.
GRID_DIR ?= .grid
export GRID_DIR
$(foreach name,K DATA PORT_BASE STANDBY ENCRYPTION,$(if $(filter-out undefined,$(origin $(name))),$(eval export $(name))))

PYTHON := .venv/bin/python
GRID   := $(PYTHON) -m deploy.local_grid

.PHONY: help setup setup-test setup-bench grid grid-stop grid-start grid-status grid-logs grid-destroy \
        installation netns-up netns-down scenario test test-full sim drill failover acceptance \
        compiled trained test-clients bench bench-quick bench-growth sqllogictest random-sql format clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
	@echo
	@echo "Another grid beside the first: make grid GRID_DIR=.grid2 PORT_BASE=7600 K=1 DATA=2"

setup: ## install what is missing (virtual environment, ZooKeeper); says what it does
	@deploy/setup.sh

setup-test:
	@deploy/setup.sh --test

compiled: setup-test ## hot modules as machine code (a minute): data instances started from then on use them
	@$(PYTHON) -m deploy.compile

trained: setup-bench ## the same with a profile of the benchmarks' loads, reads take 1 to 15 % less (4 minutes)
	@$(PYTHON) -m benchmarks.training

setup-bench:
	@deploy/setup.sh --bench

grid: setup ## start a whole grid on this machine, load the sample, say how to connect
	@$(GRID) up

grid-stop: setup ## close and unload the database, stop all processes; the data stays
	@$(GRID) stop

grid-start: setup ## start all processes, load and open the database again
	@$(GRID) start

grid-status: setup ## what runs, and the state of the database
	@$(GRID) status

grid-logs: setup ## follow the logs of all instances
	@$(GRID) logs

grid-destroy: setup ## stop everything and delete GRID_DIR
	@$(GRID) destroy

installation: setup ## a self-contained directory tengrid-<version> for any host: DEST=dist, ARCHIVE=1
	@$(PYTHON) -m deploy.installation --dest $(or $(DEST),dist) $(if $(ARCHIVE),--archive)

netns-up: setup ## eight hosts in network namespaces on this machine, K=3, by ssh (root): NETNS_DIR=.netns
	@$(PYTHON) -m deploy.netns up

netns-down: setup ## end and remove them
	@$(PYTHON) -m deploy.netns down

scenario: setup-test ## the life of the eight-host grid under load, judged (root): UNTIL=lose
	@$(PYTHON) -m tests.scenario $(if $(UNTIL),--until $(UNTIL))

test: setup-test ## what CI runs: format, lint, types, tidy and all tests
	-@$(PYTHON) -m deploy.compile
	@$(PYTHON) -m tests.gates

test-full: setup-test ## make test, and the slow tests
	@$(PYTHON) -m tests.gates --full

sim: setup-test ## the simulations, one seed after the other: SEEDS=1000 START=0
	@$(PYTHON) -m tests.sim --seeds $(or $(SEEDS),1000) --start $(or $(START),0)

drill: setup-test ## clients under faults, their history judged: SECONDS=600 SEED=1 K=3 ONLY="link disk"
	@$(PYTHON) -m tests.drill --k $(or $(K),2) --seconds $(or $(SECONDS),120) \
	  $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

failover: setup-test ## how long writers wait when instances and links go: TIMES=100 of each kind, K=2
	@$(PYTHON) -m tests.faults.pauses --times $(or $(TIMES),100) --k $(or $(K),2) $(if $(ONLY),--only $(ONLY))

acceptance: setup-test ## 60 s of inserts while data instances die
	@$(PYTHON) -m tests.faults.acceptance --seconds 60

test-clients: setup-test ## every driver and tool against a grid (docs/clients.md, docs/tools.md)
	@$(PYTHON) -m tests.gates --only clients --full

bench: setup-bench ## the benchmarks, 35 minutes; writes benchmarks/RESULTS.md: MINUTES=20 ONLY="read,update"
	-@$(PYTHON) -m deploy.compile
	@$(PYTHON) -m benchmarks.run $(if $(MINUTES),--minutes $(MINUTES)) $(if $(ONLY),--only "$(ONLY)")

bench-quick: BEGAN := $(shell date +%s)
bench-quick: setup-bench ## the goals of the benchmarks in 5 minutes
	-@$(PYTHON) -m deploy.compile
	@$(PYTHON) -m benchmarks.run --quick --since $(BEGAN) $(if $(ONLY),--only "$(ONLY)")

bench-growth: setup-bench ## how cost grows with data instances and copies, 30 minutes: GRIDS=2x2,2x4
	-@$(PYTHON) -m deploy.compile
	@$(PYTHON) -m benchmarks.growth $(if $(GRIDS),--grids $(GRIDS))

sqllogictest: setup-test ## files in the sqllogictest format, else our own: FILES="a.test folder" ON=.grid
	@$(PYTHON) -m tests.sql.logic $(FILES) $(if $(ON),--grid $(ON))

random-sql: setup-test ## random statements compared with PostgreSQL and SQLite: SEED=0 COUNT=2000
	@$(PYTHON) -m tests.sql.random --seed $(or $(SEED),0) --count $(or $(COUNT),2000)

format: setup-test ## format all Python files
	@$(PYTHON) -m ruff format . && $(PYTHON) -m ruff check --fix .

clean: ## delete the virtual environment and caches; grids stay
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache tengrid.egg-info
