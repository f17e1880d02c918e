"""The services of the platform: one package each, under the one name that everything of it has."""
