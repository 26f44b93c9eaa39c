"""``lobby``: the command line of a team that uses Lobby. It speaks to the management API, and knows no Django."""
