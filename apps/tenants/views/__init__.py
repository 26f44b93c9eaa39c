"""The tenants' pages: keys, projects with their limits and budgets, members."""
