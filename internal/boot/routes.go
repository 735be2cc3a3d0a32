package boot

// StreamedRoutes returns the methods and resources of the API behind which API Gateway has the submit function's answer
// streamed. The stack makes a resource for each, unless streaming is off; the function knows by an event's resource what
// form of answer is waited for.
func StreamedRoutes() []string { return []string{"GET /files/{id}/content"} }
