"""The shape of what evaluation's pages take. The rules live in the services."""
