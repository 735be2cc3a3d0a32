package cost

// Prices are US dollars for each of Units.
type Prices struct {
	Write, Read, Message, Put, Get, Transition, Invocation, GBSecond, LogByte float64
}

// USEast1 returns the prices of us-east-1 as published from March to June 2026,
// without free tiers and discounts for volume:
//
//   - DynamoDB, on demand, table class Standard: 0.625 a million write units,
//     0.125 a million read units (https://aws.amazon.com/dynamodb/pricing/on-demand/)
//   - SQS, standard queue: 0.40 a million requests, and 0.10 more where it is a
//     fair queue; all of them are taken for such (https://aws.amazon.com/sqs/pricing/)
//   - S3 Standard: 0.005 a thousand PUT, COPY, POST and LIST, 0.0004 a thousand
//     GET and all others; deletes are free (https://aws.amazon.com/s3/pricing/)
//   - Step Functions, standard workflows: 0.025 a thousand transitions
//     (https://aws.amazon.com/step-functions/pricing/)
//   - Lambda, arm64: 0.0000133334 a GB-second, 0.20 a million invocations
//     (https://aws.amazon.com/lambda/pricing/)
//   - CloudWatch Logs, of Lambda: 0.50 a GB that is written
//     (https://aws.amazon.com/cloudwatch/pricing/)
func USEast1() Prices {
	return Prices{
		Write: 0.625e-6, Read: 0.125e-6,
		Message: 0.50e-6,
		Put:     0.005e-3, Get: 0.0004e-3,
		Transition: 0.025e-3,
		Invocation: 0.20e-6, GBSecond: 0.0000133334,
		LogByte: 0.50 / (1 << 30),
	}
}

// A Bill is what Units cost, in US dollars, by service.
type Bill struct {
	DynamoDB, SQS, S3, StepFunctions, Lambda, Logs float64
}

// Bill returns what u costs.
func (p Prices) Bill(u Units) Bill {
	return Bill{
		DynamoDB:      u.Writes*p.Write + u.Reads*p.Read,
		SQS:           u.Messages * p.Message,
		S3:            u.Puts*p.Put + u.Gets*p.Get,
		StepFunctions: u.Transitions * p.Transition,
		Lambda:        u.Invocations*p.Invocation + u.GBSeconds*p.GBSecond,
		Logs:          u.LogBytes * p.LogByte,
	}
}

// Total returns the sum of b.
func (b Bill) Total() float64 {
	return b.DynamoDB + b.SQS + b.S3 + b.StepFunctions + b.Lambda + b.Logs
}
