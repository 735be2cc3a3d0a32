package stack

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/musketry/musketry/internal/boot"
)

// The three parts of the bucket: a tenant's files, and two kinds of scaffolding, a batch's segments and the parts of an
// upload.
const (
	filesPattern    = "tenants/*"
	filesPrefix     = "tenants/"
	segmentsPattern = "batches/*"
	segmentsPrefix  = "batches/"
	uploadsPattern  = "uploads/*"
	uploadsPrefix   = "uploads/"
)

// listParts allows the call ListParts.
const listParts = "s3:ListMultipartUploadParts"

// fileDays is how long a file's bytes can live: it expires after 30 days at most, a batch that uses it prolongs that by its
// 7 days at most, and the rest is room for repairs. Until then the API's clock hides what has expired.
const fileDays = 40

// segmentDays is how long a batch's segments live: the longest batch takes 7 days, and the rest is room for repairs.
const segmentDays = 40

// uploadDays is how long the parts of an upload live that nobody completed: it takes parts for one hour.
const uploadDays = 2

// BucketProps say what becomes of the bucket when the stack is deleted, or which one another stack left.
type BucketProps struct {
	Removal  awscdk.RemovalPolicy
	Existing string   // Name of a bucket that is taken over; empty: it is made.
	Networks []string // What links to objects may be followed from, in CIDR notation; empty: from anywhere.
}

// A Bucket holds input and output files under tenants/, the segments of answers under batches/ and the parts of files that
// come in parts under uploads/.
type Bucket struct {
	awss3.IBucket
}

// NewBucket adds the bucket: closed to the public, encrypted, TLS only. One that outlives its stack is deleted by nobody
// before its policy is changed, and keeps that policy. One that is taken over stays as it is.
func NewBucket(scope constructs.Construct, id string, props *BucketProps) *Bucket {
	if props.Existing != "" {
		return &Bucket{awss3.Bucket_FromBucketName(scope, &id, &props.Existing)}
	}
	bucket := awss3.NewBucket(scope, &id, &awss3.BucketProps{
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		Encryption:        awss3.BucketEncryption_S3_MANAGED,
		EnforceSSL:        jsii.Bool(true),
		ObjectOwnership:   awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED,
		RemovalPolicy:     props.Removal,
		LifecycleRules: &[]*awss3.LifecycleRule{
			{
				Id:                                  jsii.String("abort-uploads"),
				AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(7)),
			},
			{
				Id:         jsii.String("expire-files"),
				Prefix:     jsii.String(filesPrefix),
				Expiration: awscdk.Duration_Days(jsii.Number(fileDays)),
			},
			{
				Id:         jsii.String("expire-segments"),
				Prefix:     jsii.String(segmentsPrefix),
				Expiration: awscdk.Duration_Days(jsii.Number(segmentDays)),
			},
			{
				Id:         jsii.String("expire-upload-parts"),
				Prefix:     jsii.String(uploadsPrefix),
				Expiration: awscdk.Duration_Days(jsii.Number(uploadDays)),
			},
		},
	})
	if props.Removal == awscdk.RemovalPolicy_RETAIN {
		protect(bucket)
	}
	if len(props.Networks) > 0 {
		bindLinks(bucket, props.Networks)
	}
	return &Bucket{bucket}
}

// bindLinks has the bucket refuse an address that submit has signed to whoever follows it from elsewhere. What functions call
// themselves is signed in a header.
// https://docs.aws.amazon.com/AmazonS3/latest/API/bucket-policy-s3-sigv4-conditions.html
func bindLinks(bucket awss3.Bucket, networks []string) {
	bucket.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Effect:     awsiam.Effect_DENY,
		Principals: &[]awsiam.IPrincipal{awsiam.NewAnyPrincipal()},
		Actions:    jsii.Strings("s3:GetObject"),
		Resources:  &[]*string{bucket.ArnForObjects(jsii.String("*"))},
		Conditions: &map[string]any{
			"StringEquals": map[string]any{"s3:authType": "REST-QUERY-STRING"},
			"NotIpAddress": map[string]any{"aws:SourceIp": networks},
		},
	}))
}

// protect keeps bucket from being deleted, empty too, which S3 has no other means for.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/delete-bucket.html
func protect(bucket awss3.Bucket) {
	bucket.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Effect:     awsiam.Effect_DENY,
		Principals: &[]awsiam.IPrincipal{awsiam.NewAnyPrincipal()},
		Actions:    jsii.Strings("s3:DeleteBucket"),
		Resources:  &[]*string{bucket.BucketArn()},
	}))
	bucket.Policy().ApplyRemovalPolicy(awscdk.RemovalPolicy_RETAIN)
}

// GrantFiles lets submit keep a tenant's files, take files in parts, read and erase segments, and keep a batch's index
// beside them.
func (b *Bucket) GrantFiles(fn *Function) {
	b.grant(fn, filesPattern, "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", listParts)
	for _, pattern := range []string{segmentsPattern, uploadsPattern} {
		b.grant(fn, pattern, "s3:GetObject", "s3:PutObject", "s3:DeleteObject")
	}
}

// GrantAnswers lets execute read request bodies and write segments.
func (b *Bucket) GrantAnswers(fn *Function) {
	b.grant(fn, filesPattern, "s3:GetObject")
	b.grant(fn, segmentsPattern, "s3:PutObject")
}

// GrantWriteOut lets finalize merge segments into output files by multipart uploads, and write segments of what has none.
func (b *Bucket) GrantWriteOut(fn *Function) {
	b.grant(fn, filesPattern, "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", listParts)
	b.grant(fn, segmentsPattern, "s3:GetObject", "s3:PutObject")
}

// grant also allows listing the bucket: without it S3 answers 403 instead of 404 for an object that is absent.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
func (b *Bucket) grant(fn *Function, pattern string, actions ...string) {
	fn.Allow(b.ArnForObjects(&pattern), actions...)
	fn.Allow(b.BucketArn(), "s3:ListBucket")
	fn.Setenv(boot.EnvBucket, b.BucketName())
}
