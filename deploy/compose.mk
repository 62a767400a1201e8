# Targets for the containers; part of the Makefile.

export COMPOSE ?= docker compose
SERVICE ?=

.PHONY: up down logs secrets upgrade passwords backup restore test-compose test-kubernetes

secrets: ## make what is missing in ./secrets
	@deploy/make-secrets.sh

up: secrets ## build the containers, start them all and wait until they answer
	@deploy/up.sh --build --remove-orphans
	@deploy/welcome.sh

down: ## stop and remove the containers; their data stays
	@$(COMPOSE) down

logs: ## follow the containers' logs; SERVICE=redirector picks one
	@$(COMPOSE) logs --follow --tail 100 $(SERVICE)

upgrade: secrets ## replace what runs by what is checked out, without losing a request
	@deploy/upgrade.sh

passwords: ## draw the stores' passwords anew, without losing a request
	@deploy/change-passwords.sh

backup: ## write the database of the containers into ./backups
	@deploy/backup.sh

restore: ## read a backup into a system without data: FILE=backups/….dump
	@deploy/restore.sh $(FILE)

test-compose: $(STAMP) ## run the tests of the containers, where an engine answers
	@$(BIN)/python -m pytest tests/compose

test-kubernetes: $(STAMP) ## check deploy/kubernetes against the published schemas (fetches 100 MB)
	@$(UV) sync --quiet --locked --all-packages --group kubernetes --python "$$(command -v $(PYTHON))"
	@$(BIN)/python -m pytest tests/unit/test_kubernetes.py
