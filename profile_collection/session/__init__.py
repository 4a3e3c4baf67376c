"""The session: devices, storage, plans and callbacks put together; what starts, guards and resumes it."""
